"""The batch at which a training diverged, as files: pictures, and the lines that degrade them again."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..degradation.records import FILE_NAME, Record
from ..errors import RealESRGANError
from ..image import files
from ..image.files import Picture
from .datasets import OnTheFly, Paired


def keep_batch(folder: Path, samples: OnTheFly | Paired, numbers: Sequence[int]) -> str:
    """Write the crops of a batch into `folder`, with degradations.jsonl; return what to say of it, or nothing.

    `realesrgan degrade --replay` then makes what the network saw, before the last crop. Of pairs only the names are
    said. Where the disk refuses, that is no reason to hide why the training ended.
    """
    if isinstance(samples, Paired):
        return f" The batch was made of {', '.join(dict.fromkeys(samples.path(number).name for number in numbers))}."
    with suppress(OSError, RealESRGANError):
        folder.mkdir(parents=True, exist_ok=True)
        records = [_keep(folder, samples, number) for number in numbers]
        (folder / FILE_NAME).write_text("".join(f"{record.line}\n" for record in records), encoding="utf-8")
        here, there, lines = (shlex.quote(str(path)) for path in (folder, f"{folder}_lq", folder / FILE_NAME))
        command = f"realesrgan degrade -i {here} -o {there} --replay {lines}"
        return f" The pictures of that batch are in {folder}; to see what became of them: {command}."
    return ""


def _keep(folder: Path, samples: OnTheFly, number: int) -> Record:
    path = folder / f"{number}.png"
    pixels, _ = samples.crop(number)
    files.write(path, Picture(pixels))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Record(output=path.name, source=path.name, sha256=digest, degradation=samples.degradation(number))
