"""Everything that is measured of one picture: JPEG, noise, blur and cut-off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ...arrays import Array
from . import blur, history, jpeg_tables, noise, sample, spectrum
from .jpeg_tables import Fit, Tables
from .noise import Noise

LEAST_SIDE = 64  # pixels; a smaller picture has too few blocks
# How much lower the quality of an earlier compression must be to count instead of the file's own.
EARLIER_BY = 3.0


@dataclass(frozen=True)
class Measurement:
    """What was measured of a picture; None where it cannot be told.

    Attributes:
        quality: of its worst JPEG compression that can be told; None: there is no trace of any.
        tables: how the file's own tables relate to libjpeg's; None: it is no JPEG file.
        noise: see `noise.Noise`.
        blur: σ in pixels of the Gaussian that makes edges as wide as they are.
        cutoff: in radians a pixel; π: it has all frequencies.
    """

    quality: float | None
    tables: Fit | None
    noise: Noise | None
    blur: float | None
    cutoff: float | None

    def facts(self) -> tuple[str, ...]:
        """What was measured, in words."""
        return (_jpeg_in_words(self), _noise_in_words(self.noise), *_sharpness_in_words(self))


def measure(pixels: Array, tables: Tables | None = None) -> Measurement:
    """Measure (H, W), (H, W, 3) BGR or (H, W, 4) BGRA pixels of 8 or 16 bits, at least LEAST_SIDE a side.

    `tables` are those of its JPEG file.
    At most `sample.MOST_PIXELS` are looked at, always the same.
    """
    patches = sample.patches(pixels)
    past = history.find(patches)
    fit = None if tables is None else jpeg_tables.fit(tables)
    quality = None if fit is None else fit.quality
    if past is not None and (quality is None or past.quality < quality - EARLIER_BY):
        quality, tables = past.quality, jpeg_tables.of_quality(past.quality)
    if past is not None:
        patches = [patch.without(past.top, past.left) for patch in patches]
        tables = tables.turned() if past.turned and tables is not None else tables
    found = noise.measure(patches, tables)
    sigma = 0.0 if found is None else found.luma
    cutoff = spectrum.cutoff(patches, sigma)
    if found is not None and cutoff is not None and cutoff <= noise.MOST_CUTOFF:
        found = noise.measure(patches, tables, cutoff)
    return Measurement(quality, fit, found, blur.measure(patches, sigma), cutoff)


def read_tables(path: Path) -> Tables | None:
    """The tables of a JPEG file, else None.

    Raises:
        OSError: the file cannot be read.
    """
    return jpeg_tables.read(path)


def _jpeg_in_words(found: Measurement) -> str:
    if found.quality is None:
        return "no trace of JPEG"
    quality = f"JPEG quality {found.quality:g}"
    if found.tables is None or found.tables.quality > found.quality:
        return f"{quality} once"
    return quality if found.tables.is_own else f"JPEG tables like quality {found.quality:g} of libjpeg, but not its own"


def _noise_in_words(found: Noise | None) -> str:
    if found is None:
        return "noise cannot be told"
    if found.luma == 0:
        return f"no noise above {found.hidden:.1f}" if found.hidden >= 1 else "no noise"
    kind = {True: "colour ", False: "gray ", None: ""}[found.colour]
    grown = f" that grows with brightness (Poisson, scale {found.poisson_scale:.2f})" if found.grows else ""
    return f"{kind}noise {found.strength:.1f}{grown}"


def _sharpness_in_words(found: Measurement) -> tuple[str, ...]:
    words = ["blur cannot be told" if found.blur is None else f"blur {found.blur:.1f} px"]
    if found.cutoff is not None and found.cutoff < math.pi:
        words.append(f"cut off at {found.cutoff / math.pi:.2f} pi")
    return tuple(words)
