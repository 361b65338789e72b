"""The system's Chromium, and how it is started."""

from __future__ import annotations

import os
import shutil
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The program's path, or None if it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def launch(playwright: Any, program: str) -> Any:
    """Start it without a window. Videos may play with their sound on, as after a press of a button."""
    arguments = ["--autoplay-policy=no-user-gesture-required"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root otherwise
    return playwright.chromium.launch(executable_path=program, args=arguments)
