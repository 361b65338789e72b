"""`realesrgan weights`: list where weights are, fetch and verify them; inspect and convert files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..errors import WeightsError, spell
from ..model_zoo import FACE_MODELS, MODELS, VGG19, AnyModel, WeightFile, all_models, find_any_model
from ..weights.download import Report
from . import console, weights_files
from .options import WeightsOptions, parse

DESCRIPTION = """\
list     each model and where its weights would come from
fetch    download the official files: those of the models named, or all but what only training reads
verify   compare the files on this machine with the official sizes and hashes
inspect  say what files hold: the network, its numbers, precision, licence, the model it equals
convert  write a file in another format: .pth, .safetensors, or ncnn's .param with its .bin"""

SPELLINGS = {"output": "--to"}


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan weights") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(WeightsOptions, argv, prog, DESCRIPTION)
    actions = {
        "list": _list,
        "fetch": _fetch,
        "verify": _verify,
        "inspect": weights_files.inspect,
        "convert": weights_files.convert,
    }
    writes = options.action in ("fetch", "convert")
    return console.run(lambda: actions[options.action](options), prints_results=not writes, spellings=SPELLINGS)


def _models(options: WeightsOptions) -> list[AnyModel]:
    """The models named, or all; what only training reads is fetched only if it is named."""
    if options.names:
        return [find_any_model(name) for name in options.names]
    return [*MODELS.values(), *FACE_MODELS.values()] if options.action == "fetch" else all_models()


def _files(options: WeightsOptions) -> list[WeightFile]:
    """The models' files, each once: the face models share two of their three."""
    return list(dict.fromkeys(file for model in _models(options) for file in model.files))


def _list(options: WeightsOptions) -> int:
    from ..weights.store import find
    from ..weights.vgg import find_vgg19

    for model in _models(options):
        console.print_result(f"{model.name}: {spell(model.summary, console.flag)}")
        for file in model.files:
            found = find_vgg19() if file == VGG19 else find(file)
            size = f", {file.size_bytes / 1e6:.1f} MB," if file.size_bytes else ""
            where = f"{found.origin}: {found.path}" if found else f"would be downloaded{size} from {file.url}"
            console.print_result(f"  {file.name}  {where}")
    return console.DONE


def _fetch(options: WeightsOptions) -> int:
    from ..weights.store import cache_folder

    folder = cache_folder() if options.to is None else Path(options.to)
    bars = console.DownloadBars()
    failed = 0
    for file in _files(options):
        try:
            console.print_result(_fetch_one(file, folder, partial(_report, bars)))
        except WeightsError as error:
            failed += 1
            console.say(f"failed: {file.name}: {error}\n  it can be fetched by hand from {file.url}")
        finally:
            bars.close()
    return console.SOME_FAILED if failed else console.DONE


def _fetch_one(file: WeightFile, folder: Path, report: Report) -> str:
    """Fetch a file and say what came; of VGG19 only the convolutions are of use."""
    from ..weights.download import fetch
    from ..weights.vgg import obtain_vgg19

    if file == VGG19:
        return f"{obtain_vgg19(report, folder=folder)}  its convolutions"
    return f"{fetch(file, folder, report)}  {'checked' if file.sha256 else 'not checked: no hash was published'}"


def _report(bars: console.DownloadBars, file: WeightFile, here: int) -> None:
    bars.report(file.name, file.url, here, file.size_bytes)


def _verify(options: WeightsOptions) -> int:
    """Verify every copy in the search folders; those of the weights wheel are left to pip."""
    from ..weights.check import defect_of
    from ..weights.store import search_folders

    folders = [Path(options.to)] if options.to else [folder for folder, _ in search_folders()]
    copies = {
        (folder / file.name).resolve(): file
        for folder in folders
        for file in _files(options)
        if os.path.isfile(folder / file.name)
    }
    defects: dict[Path, str | None] = {}
    for path, file in copies.items():
        try:
            defects[path] = defect_of(path, file)
        except OSError as error:
            defects[path] = f"cannot be read ({error.strerror or error})"
        console.print_result(f"{path}  {_verdict(file, defects[path])}")
    if not copies:
        console.print_result(f"no official files in {', '.join(map(str, folders))}")
    return console.SOME_FAILED if any(defects.values()) else console.DONE


def _verdict(file: WeightFile, defect: str | None) -> str:
    if defect is not None:
        return f"NOT the published file: it {defect}"
    return "as published" if file.sha256 else "cannot be verified: no hash was published"
