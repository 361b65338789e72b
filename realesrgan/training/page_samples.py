"""The held-out pictures on a report: input, bicubic, start, now and target, beside each other or one over the other."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from ..arrays import Array
from ..image.vips import from_array
from .held_out import HeldOut
from .lines import Values
from .validation import Measurement

QUALITIES = (94, 85, 70)  # of WebP: the best whose pictures fit
ZOOMS, _ZOOM = (1, 2, 4, 8), 2


@dataclass(frozen=True)
class _Version:
    """One way the held-out pictures look, and where they were measured, how near each is."""

    label: str
    shown: HeldOut | Measurement
    values: Sequence[Values] | None = None


def draw(
    held_out: HeldOut,
    *,
    bicubic: Measurement | None = None,
    start: Measurement | None = None,
    now: Measurement | None = None,
    limit_bytes: int,
) -> str:
    """HTML of all samples that fit into `limit_bytes`: worse compressed if need be, the last ones left out at worst."""
    versions = _versions(held_out, bicubic, start, now)
    for quality in QUALITIES:
        pieces, used = [], 0
        for number in range(len(held_out.samples)):
            piece = _sample(number, held_out, versions, quality)
            used += len(piece)
            if used > limit_bytes:
                break
            pieces.append(piece)
        else:
            return "".join(pieces)
    left_out = (
        f"<p>{len(pieces)} of {len(held_out.samples)} pictures are shown; more would make this page too large.</p>"
    )
    return "".join([*pieces, left_out])


def _versions(
    held_out: HeldOut, bicubic: Measurement | None, start: Measurement | None, now: Measurement | None
) -> list[_Version]:
    versions = [_Version("Input", held_out)]
    for label, measured in (("Bicubic", bicubic), ("Start", start), ("Now", now)):
        if measured is not None:
            versions.append(_Version(label, measured, measured.values))
    return [*versions, _Version("Target", held_out)]


def _sample(number: int, held_out: HeldOut, versions: Sequence[_Version], quality: int) -> str:
    sample = held_out.samples[number]
    height, width = sample.target.shape[:2]
    name = escape(_text(sample.name))
    view = f"s{number}"
    # Radio buttons: arrow keys go from version to version, at the same place and size, and no script is needed.
    buttons = [_radio(f"{view}-view", f"{view}-all", "Side by side", "all", checked=True)]
    buttons += [_radio(f"{view}-view", f"{view}-v{n}", one.label, f"v{n}") for n, one in enumerate(versions)]
    zooms = [_radio(f"{view}-zoom", f"{view}-z{zoom}", f"{zoom}×", f"z{zoom}", checked=zoom == _ZOOM) for zoom in ZOOMS]
    cells = [_cell(number, n, one, f"{view}-v{n}", name, quality) for n, one in enumerate(versions)]
    return (
        f'<section class="sample" style="--w:{width}px;--ratio:{width}/{height}" aria-labelledby="{view}-name">'
        f'<h3 id="{view}-name">{name} <small>{width}×{height}</small></h3>'
        f'{"".join(buttons)}<span class="gap"></span>{"".join(zooms)}'
        f'<div class="stage" tabindex="0" role="group" aria-label="{name}">{"".join(cells)}</div></section>'
    )


def _radio(group: str, identity: str, label: str, kind: str, *, checked: bool = False) -> str:
    state = " checked" if checked else ""
    return (
        f'<input type="radio" name="{group}" id="{identity}" class="{kind}" aria-label="{label}"{state}>'
        f'<label for="{identity}" class="button">{label}</label>'
    )


def _cell(number: int, order: int, version: _Version, button: str, name: str, quality: int) -> str:
    if order == 0:
        assert isinstance(version.shown, HeldOut)
        addresses, pixels = _inputs(version.shown), version.shown.samples[number].low
        figures = f"{pixels.shape[1]}×{pixels.shape[0]}"
    else:
        addresses, figures = _pictures(version.shown, quality), ""
    if version.values is not None:
        values = version.values[number]
        figures = f"{values.psnr:.2f} dB · {values.ssim:.3f}"
    return (
        f'<figure class="cell c{order}"><figcaption><b>{version.label}</b> {figures}</figcaption><label for="{button}">'
        f'<img src="{addresses[number]}" alt="{name}, {version.label.lower()}"></label></figure>'
    )


# Kept, because of all the pictures on a page only those of now change from one to the next.
@lru_cache(maxsize=2)
def _inputs(held_out: HeldOut) -> list[str]:
    """Small, so without loss; the browser enlarges them, and each pixel is seen."""
    return [_address(sample.low, lossless=True) for sample in held_out.samples]


@lru_cache(maxsize=5 * len(QUALITIES))
def _pictures(shown: HeldOut | Measurement, quality: int) -> list[str]:
    """Targets or results."""
    pictures = shown.results if isinstance(shown, Measurement) else [sample.target for sample in shown.samples]
    return [_address(pixels, Q=quality, smart_subsample=True, effort=2) for pixels in pictures]


def _address(pixels: Array, **options: int) -> str:
    """A data: address of (H, W, 3) BGR of uint8, as WebP."""
    content: bytes = from_array(pixels, gray_alpha=False).webpsave_buffer(**options)
    return "data:image/webp;base64," + b64encode(content).decode("ascii")


def _text(name: str) -> str:
    """What is not UTF-8 in a file's name becomes \\u and digits."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
