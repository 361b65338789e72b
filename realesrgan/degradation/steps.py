"""What is to happen to a picture, as plain data: a list of steps, which a line of JSON holds whole."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ResizeMode: TypeAlias = Literal["area", "bilinear", "bicubic"]
KernelKind: TypeAlias = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
JpegTables: TypeAlias = Literal["published", "standard"]
FileFormat: TypeAlias = Literal["jpg", "webp", "avif"]
VideoCodec: TypeAlias = Literal["h264", "hevc"]
RealFormat: TypeAlias = Literal["jpg", "webp", "avif", "h264", "hevc"]
REAL_FORMATS: tuple[RealFormat, ...] = ("jpg", "webp", "avif", "h264", "hevc")


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel has an odd number of pixels a side, not {size}")
    return size


# Far beyond all that makes sense, and near enough that no arithmetic overflows.
Sigma: TypeAlias = Annotated[float, Field(ge=1e-3, le=1e3)]
Shape: TypeAlias = Annotated[float, Field(ge=1e-3, le=64)]
Strength: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
JpegQuality: TypeAlias = Annotated[float, Field(ge=0.01, le=100)]
_KernelSize: TypeAlias = Annotated[int, Field(ge=1, le=99), AfterValidator(_odd)]
_Cutoff: TypeAlias = Annotated[float, Field(ge=1e-3, le=100)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BellKernel(_Data):
    """A Gaussian, generalised Gaussian or plateau kernel of `size` pixels a side.

    `sigma_x`, `sigma_y` are in pixels, `rotation` in radians; `beta` is the shape of the last two kinds.
    """

    kind: KernelKind
    size: _KernelSize
    sigma_x: Sigma
    sigma_y: Sigma
    rotation: float = 0.0
    beta: Shape | None = None


class SincKernel(_Data):
    """A sinc kernel: what is above `cutoff` (radians a pixel) is cut off, which leaves ringing."""

    kind: Literal["sinc"] = "sinc"
    size: _KernelSize
    cutoff: _Cutoff


class PulseKernel(_Data):
    """The kernel that changes nothing."""

    kind: Literal["pulse"] = "pulse"


Kernel: TypeAlias = Annotated[BellKernel | SincKernel | PulseKernel, Field(discriminator="kind")]


class Sharpen(_Data):
    """Unsharp masking of the original, which training learns towards."""

    step: Literal["sharpen"] = "sharpen"


class Blur(_Data):
    """Filter with a kernel."""

    step: Literal["blur"] = "blur"
    kernel: Kernel


class Resize(_Data):
    """Resize by `factor`: of the current size, or of the final one (that of the original / scale)."""

    step: Literal["resize"] = "resize"
    mode: ResizeMode
    factor: float = Field(gt=0, le=64)
    of: Literal["current", "final"]

    def size_after(self, current: tuple[int, int], original: tuple[int, int], scale: int) -> tuple[int, int]:
        """The height and width of the result, as published rounded down, and at least 1."""
        if self.of == "final":
            height, width = (max(1, int(side / scale * self.factor)) for side in original)
        else:
            height, width = (max(1, int(side * self.factor)) for side in current)
        return height, width


class Noise(_Data):
    """Add noise.

    `strength` is σ in levels of 255 for Gaussian noise, the scale for Poisson noise. `field` is the key of the chance
    that the noise itself comes from (see `chance.generator`).
    """

    step: Literal["noise"] = "noise"
    kind: Literal["gaussian", "poisson"]
    strength: Strength
    gray: bool
    field: tuple[int, int, str]


class Jpeg(_Data):
    """Compress as JPEG does, with a quality that need not be whole; the result is not rounded."""

    step: Literal["jpeg"] = "jpeg"
    quality: JpegQuality
    tables: JpegTables = "published"


class RealFile(_Data):
    """Write a picture file and read it again."""

    step: Literal["file"] = "file"
    format: FileFormat
    quality: int = Field(ge=1, le=100)


class RealVideo(_Data):
    """Encode a short pan over the picture as a video and take the last frame."""

    step: Literal["video"] = "video"
    codec: VideoCodec
    crf: int = Field(ge=0, le=51)


Step: TypeAlias = Annotated[Sharpen | Blur | Resize | Noise | Jpeg | RealFile | RealVideo, Field(discriminator="step")]


class Degradation(_Data):
    """All that happens to picture `number`; the result is the original's size / `scale`."""

    seed: int
    number: int
    scale: int = Field(ge=1, le=16)
    steps: tuple[Step, ...]
