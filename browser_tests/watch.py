"""What no page may do, watched during every test: ask other hosts, complain in the console, break its own policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Request

# Chromium reports violations in the console as well, but not for every kind.
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Watch:
    """Hears everything that the pages of one context ask and say.

    Attributes:
        asked: the paths of all requests to the server, in order.
    """

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.asked: list[str] = []
        self._origin = origin
        self._wrong: list[str] = []
        self._expected: list[str] = []
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("request", self._hear_request)
        context.on("console", self._hear_console)
        context.on("weberror", lambda error: self._wrong.append(f"uncaught: {error.error}"))

    def expect(self, pattern: str) -> None:
        """Complaints that match are what the test provokes, such as a connection that is lost."""
        self._expected.append(pattern)

    def check(self) -> None:
        """Fail if anything was wrong."""
        wrong = [one for one in self._wrong if not any(re.search(pattern, one) for pattern in self._expected)]
        assert not wrong, "\n".join(wrong)

    def _hear_request(self, request: Request) -> None:
        if request.url.startswith(f"{self._origin}/"):
            self.asked.append(request.url.removeprefix(self._origin))
        elif not request.url.startswith((f"blob:{self._origin}/", "data:")):
            self._wrong.append(f"a request to {request.url}")

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._wrong.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")
