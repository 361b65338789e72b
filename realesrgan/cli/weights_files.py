"""`realesrgan weights inspect` and `convert`: what the user's own weights files are, and other forms of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RealESRGANError, UsageError
from ..words import size
from . import console
from .options import WeightsOptions

if TYPE_CHECKING:
    from ..weights.inspection import Inspection, Network


def inspect(options: WeightsOptions) -> int:
    """Print what each of the files is; a file that is no known network is a failure."""
    from ..weights import inspection

    if not options.names:
        raise UsageError("name the weights files to inspect: realesrgan weights inspect mine.pth")
    found = []
    failed = False
    for name in options.names:
        try:
            found.append(inspection.inspect(Path(name)))
        except RealESRGANError as error:
            console.say(f"failed: {error.message}")
            failed = True
    if options.json:
        console.print_result(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            for line in described(one):
                console.print_result(_visible(line))
    return console.SOME_FAILED if failed or any(one.network is None for one in found) else console.DONE


def described(file: Inspection) -> Iterator[str]:
    """What is known about a weights file, line by line."""
    yield file.path
    rows = {} if file.network is None else dict(_network_rows(file.network))
    if file.reason is not None:
        rows["network"] = f"unknown: {file.reason}"
    rows["equals"] = file.equals or "no published model that is on this machine"
    container = f", under {file.container}" if file.container else ""
    rows["format"] = f"{file.format}{container}"
    rows["precision"] = ", ".join(f"{number} × {name}" for name, number in file.precisions.items())
    rows["tensors"] = f"{file.tensors} with {file.numbers} numbers; {file.bytes} bytes ({size(file.bytes)})"
    if file.renamed:
        rows["keys"] = "named as in an older release"
    rows["licence"] = file.licence or "the file does not say; ask whoever made it"
    rows["metadata"] = json.dumps(file.metadata, ensure_ascii=False) if file.metadata else "none"
    for label, value in rows.items():
        yield f"  {label:10} {value}"


def _network_rows(network: Network) -> Iterator[tuple[str, str]]:
    yield "network", network.summary
    if network.arguments:
        yield "numbers", ", ".join(f"{key} {value}" for key, value in network.arguments.items())
    yield "enlarges", f"{network.scale} times; {network.channels_in} channels in, {network.channels_out} out"
    yield "sizes", "any" if network.size_multiple == 1 else f"padded to multiples of {network.size_multiple}"
    if network.reach is None or network.multiply_adds is None:
        yield "reach", "measured on the first picture that is cut into tiles"
    else:
        yield "reach", f"{network.reach} pixels to each side"
        yield "work", f"{network.multiply_adds / 1e6:.2f} M multiply-adds a pixel"
    yield "streams", "yes: strips of a large picture equal the whole" if network.streams else "no: whole or in tiles"


def _visible(text: str) -> str:
    """`text` with what a terminal could take for a command as \\x and digits: it comes out of a stranger's file."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def convert(options: WeightsOptions) -> int:
    """Write a file in another format, and say what was changed."""
    from ..export import convert as conversion

    if len(options.names) != 1 or options.to is None:
        raise UsageError(
            "name a file and what to make of it: realesrgan weights convert mine.pth --to mine.safetensors"
        )
    done = conversion.convert(Path(options.names[0]), Path(options.to), half=options.fp16)
    for path in done.files:
        console.print_result(f"{path}  {size(path.stat().st_size)}")
    console.say(f"{done.spec}: read back, and the same to the bit{_changed(done.largest_change)}")
    if done.renamed:
        console.say("its keys had the names of an older release; they have today's now")
    if done.lost:
        console.say(f"this format has no place for {', '.join(map(_visible, done.lost))}: left out")
    return console.DONE


def _changed(largest: float) -> str:
    return f" as its weights rounded to 16 bits, which changes them by {largest:.1e} at most" if largest else ""
