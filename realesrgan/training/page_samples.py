"""The held-out pictures on a report: input, bicubic, start, now and target, beside each other or one over the other."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
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
    """One way a picture looks: for each of the held-out ones its pixels and, where it was measured, how near it is."""

    label: str
    pictures: Sequence[Array]
    values: Sequence[Values] | None = None


@lru_cache(maxsize=1)  # a page is written more often than pictures are measured
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
    versions = [_Version("Input", [sample.low for sample in held_out.samples])]
    for label, measured in (("Bicubic", bicubic), ("Start", start), ("Now", now)):
        if measured is not None:
            versions.append(_Version(label, measured.results, measured.values))
    return [*versions, _Version("Target", [sample.target for sample in held_out.samples])]


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
    pixels = version.pictures[number]
    # A small picture is sent as it is and enlarged by the browser; without loss, because each pixel is seen.
    address = _address(pixels, quality if order else None)
    figures = ""
    if version.values is not None:
        values = version.values[number]
        figures = f"{values.psnr:.2f} dB · {values.ssim:.3f}"
    elif order == 0:
        figures = f"{pixels.shape[1]}×{pixels.shape[0]}"
    return (
        f'<figure class="cell c{order}"><figcaption><b>{version.label}</b> {figures}</figcaption>'
        f'<label for="{button}"><img src="{address}" alt="{name}, {version.label.lower()}"></label></figure>'
    )


def _address(pixels: Array, quality: int | None) -> str:
    """A data: address of (H, W, 3) BGR of uint8; lossless without a quality."""
    image = from_array(pixels, gray_alpha=False)
    encode: Callable[..., bytes] = image.webpsave_buffer
    content = encode(lossless=True) if quality is None else encode(Q=quality, smart_subsample=True)
    return "data:image/webp;base64," + b64encode(content).decode("ascii")


def _text(name: str) -> str:
    """What is not UTF-8 in a file's name becomes \\u and digits."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
