"""Write a model as an ONNX file, checked against onnxruntime. The job of `realesrgan export`, and its function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import UsageError
from ..families import family_names
from ..families.family import NetworkSpec
from ..families.foreign import ForeignSpec
from ..loading import Settings, Setup
from ..loading import check as check_settings
from ..model_zoo import DEFAULT_IMAGE_MODEL, LICENCE, WeightFile
from ..outputs import make_folder, refuse_overwrites, write_whole
from ..restorer import Reporter
from ..weights.load import chosen_weights, load_network, refuse_other_network
from ..weights.metadata import licence_of
from ..weights.read import read_contents
from .checking import Checked, check, refuse_overflow
from .form import ColourOrder, Form, Layout, check_form

INSTALL = 'pip install "realesrgan[export]"'
SUFFIX = ".onnx"
UNKNOWN_LICENCE = "not stated in the weights file"


@dataclass(frozen=True)
class Exported:
    """A model that was written; `checked` is None where onnxruntime, which would check it, is not installed."""

    path: Path
    spec: NetworkSpec
    form: Form
    checked: Checked | None


def export_onnx(
    output: str | Path | None = None,
    *,
    model_name: str | None = None,
    model_path: str | Path | None = None,
    denoise_strength: float = 0.5,
    fp16: bool = False,
    uint8: bool = False,
    layout: Layout = "nchw",
    colour_order: ColourOrder = "rgb",
    reporter: Reporter | None = None,
) -> Exported:
    """Write a model as an ONNX file, as `realesrgan export` does, and check it if onnxruntime is installed.

    Height, width and number of pictures are free, whatever the network.

    Args:
        output: a file that ends in .onnx; None: called after the model, in the working folder.
        model_name, model_path, denoise_strength: as for restoring (see `loading.Settings`).
        fp16: weights and values between layers in 16 bits; so are the numbers that go in and out, unless `uint8`.
        uint8: take and give bytes, 0 to 255; else numbers with 1.0 for white, and the result is not clamped.
        layout: "nchw" or "nhwc" of what goes in and comes out.
        colour_order: "rgb" or "bgr" of what goes in and comes out.
        reporter: is told of downloads.

    Raises:
        UsageError: an option is invalid, the package onnx is missing, or the file cannot be written.
        WeightsError: weights cannot be found, fetched or read, or do not fit, or onnxruntime computes something else.
    """
    form = check_form(Form(fp16, uint8, layout, colour_order))
    settings = Settings(model_name=model_name, model_path=model_path, denoise_strength=denoise_strength)
    setup = check_settings(settings, DEFAULT_IMAGE_MODEL)
    path = Path(f"{setup.label}{SUFFIX}" if output is None else output)
    if path.suffix != SUFFIX:
        raise UsageError(f"`output` {path}: name a file that ends in {SUFFIX}")
    if model_path is not None:
        refuse_overwrites([(Path(model_path), [path])])
    try:
        from .onnx_model import as_onnx
    except ImportError as error:
        raise UsageError(f"exporting needs the package {error.name}: {INSTALL}") from error
    make_folder(path.parent, "output")
    reporter = reporter or Reporter()

    def report(file: WeightFile, here: int) -> None:
        reporter.check()
        reporter.downloading(file.name, file.url, here, file.size_bytes)

    paths, shares = chosen_weights(setup.model, model_path, denoise_strength, report)
    network, spec = load_network(paths, shares)
    refuse_other_network(setup.model, spec, paths[0])
    assert spec is not None  # only a network that the caller brings along may be unknown
    if isinstance(spec, ForeignSpec):
        raise UsageError(f"{paths[0].name} holds {spec}; only {family_names('and')} can be exported")
    if form.fp16:
        refuse_overflow(network, spec)
    content = as_onnx(network, spec, form, _facts(setup, spec, form)).SerializeToString()
    checked = check(content, network, spec, form)
    write_whole(path, content, "output")
    return Exported(path, spec, form, checked)


def _facts(setup: Setup, spec: NetworkSpec, form: Form) -> dict[str, str]:
    """What programs and people that find the file want to know."""
    facts = {
        "name": setup.label,
        "network": str(spec),
        "scale": str(spec.scale),
        "layout": form.layout.upper(),
        "colour_order": form.colour_order.upper(),
        "value_range": form.value_range,
        "precision": "fp16" if form.fp16 else "fp32",
        "reach": f"{spec.receptive_radius} pixels to each side",
        "licence": _licence(setup),
        "made_by": f"realesrgan {__version__}",
    }
    if setup.model is not None and setup.model.weak_denoise is not None and setup.settings.model_path is None:
        facts["denoise_strength"] = f"{setup.settings.denoise_strength:g}"
    return facts


def _licence(setup: Setup) -> str:
    path = setup.settings.model_path
    return LICENCE if path is None else licence_of(read_contents(Path(path)).metadata) or UNKNOWN_LICENCE
