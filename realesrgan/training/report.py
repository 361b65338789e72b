"""How a training goes, as one HTML page that opens anywhere and offline: nothing is loaded from any host."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Literal

from ..errors import RealESRGANError
from ..outputs import appearing
from ..words import duration
from . import page_curves, page_samples
from .held_out import HeldOut
from .journal import Journal
from .lines import Validated
from .page_style import style
from .validation import Measurement
from .watch import Finding

FILE_NAME = "report.html"
LIMIT_BYTES = 8_000_000  # of the page, so that it can be mailed and opened on a phone
_WITHOUT_PICTURES = 800_000  # bytes at most of everything else; in fact less than a quarter of it
REFRESH_S = 60
_TABLE_ROWS = 200
_WORDS = {"running": "Running", "stopped": "Stopped", "finished": "Finished"}


@dataclass(frozen=True)
class State:
    """Where a training stands.

    Attributes:
        name: of the training.
        condition: a page reloads itself while it is "running".
        iteration, total: iterations done, and to do in all (None: until it is stopped).
        seconds_left: None where it is not known.
        best: the best checkpoint's name and why, in words: "net_g_5000.pth, 24.31 dB".
        facts: more that readers want to know of this training: names and values.
    """

    name: str
    condition: Literal["running", "stopped", "finished"]
    iteration: int
    total: int | None = None
    seconds_left: float | None = None
    best: str | None = None
    facts: tuple[tuple[str, str], ...] = ()


def write(
    folder: Path,
    state: State,
    journal: Journal,
    *,
    held_out: HeldOut | None = None,
    bicubic: Measurement | None = None,
    start: Measurement | None = None,
    now: Measurement | None = None,
    findings: Sequence[Finding] = (),
    written: datetime | None = None,
) -> Path:
    """Write `folder`/report.html, which appears whole, and return its path.

    Args:
        held_out: what is measured on; without it, there are only the losses.
        bicubic, start, now: what is made of it by interpolation, before training, and by now.
        findings: what `Watch` has to say.
        written: the time to show; by default now.

    Raises:
        RealESRGANError: the file cannot be written.
    """
    written = written or datetime.now().astimezone()
    parts = [*_top(state, journal, findings)]
    parts.append(_links({"curves": True, "pictures": held_out is not None, "validations": bool(journal.validated)}))
    parts += page_curves.draw(journal.logged, journal.validated, bicubic)
    if held_out is not None:
        pictures = page_samples.draw(
            held_out, bicubic=bicubic, start=start, now=now, limit_bytes=LIMIT_BYTES - _WITHOUT_PICTURES
        )
        when = f"after iteration {_spaced(now.iteration)}" if now else ""
        parts.append(f'<h2 id="pictures">Held-out pictures <small>{when}</small></h2>{_HOW_TO_LOOK}{pictures}')
    parts += _table(journal.validated)
    parts.append(f"<footer>Written {written:%Y-%m-%d %H:%M:%S %z} by realesrgan.</footer></main>")
    parts.append(f"<script>{_KEEP_VIEW}</script>" if state.condition == "running" else "")
    parts.append("</body></html>\n")
    return _put(folder / FILE_NAME, "".join(parts))


_HOW_TO_LOOK = (
    "<p><small>None of these is learned from. Click a picture to see it larger; then the arrow keys change between the "
    "versions at the same place. Figures are PSNR and SSIM against the target.</small></p>"
)
# Only for pages that reload themselves: browsers forget which pictures were enlarged, and where they were looked at.
_KEEP_VIEW = """try{const key=location.pathname,all=what=>[...document.querySelectorAll(what)],was=sessionStorage[key];
if(was){const[ids,places]=JSON.parse(was);ids.forEach(id=>{const one=document.getElementById(id);if(one)one.checked=1});
all('.stage').forEach((one,n)=>one.scrollTo(...places[n]||[0,0]))}
addEventListener('pagehide',()=>sessionStorage[key]=JSON.stringify([all(':checked').map(one=>one.id),
all('.stage').map(one=>[one.scrollLeft,one.scrollTop])]))}catch{}"""
_KEEP_VIEW_HASH = b64encode(sha256(_KEEP_VIEW.encode()).digest()).decode()
# Nothing may be loaded, and no script run but this one: not even by mistake, or by the name of a file.
_POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_KEEP_VIEW_HASH}'"


def _top(state: State, journal: Journal, findings: Sequence[Finding]) -> Iterator[str]:
    name = _escaped(state.name)
    share = f"{state.iteration / state.total:.0%}, " if state.total else ""
    yield '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    if state.condition == "running":
        yield f'<meta http-equiv="refresh" content="{REFRESH_S}">'
    yield f"<title>{share}{_WORDS[state.condition].lower()}: {name}</title><style>{style()}</style></head><body><main>"
    yield f'<header><h1>{name}</h1><span class="state {state.condition}">{_WORDS[state.condition]}</span></header>'
    if state.total:
        yield f'<progress max="{state.total}" value="{state.iteration}" aria-label="iterations done"></progress>'
    pairs = "".join(
        f"<div><dt>{_escaped(key)}</dt><dd>{_escaped(value)}</dd></div>" for key, value in _facts(state, journal)
    )
    yield f"<dl>{pairs}</dl>"
    if findings:
        items = "".join(f"<li>{_escaped(finding.text)}.</li>" for finding in findings)
        yield f'<section class="warnings"><h2>Needs a look</h2><ul>{items}</ul></section>'


def _links(rooms: dict[str, bool]) -> str:
    """Links to the parts of a page, which may be long on a phone."""
    links = (f'<a href="#{room}">{room.capitalize()}</a>' for room, there in rooms.items() if there)
    return f"<nav>{''.join(links)}</nav>"


def _facts(state: State, journal: Journal) -> Iterator[tuple[str, str]]:
    of_all = f" of {_spaced(state.total)}" if state.total else ""
    yield "Iterations", f"{_spaced(state.iteration)}{of_all}"
    if journal.logged:
        last = journal.logged[-1]
        yield "Pictures", _spaced(last.pictures)
        yield "Time so far", duration(last.seconds)
    if state.seconds_left is not None and state.condition != "finished":
        yield "Time left", f"about {duration(state.seconds_left)}"
    if journal.logged:
        yield "Speed", f"{last.pictures_per_second:.3g} pictures/s"
        yield "Waiting for pictures", f"{last.waiting_share:.1%} of the time"
        yield "Learning rate", f"{last.lr:g}"
    if state.best is not None:
        yield "Best checkpoint", state.best
    yield from state.facts


def _table(validated: Sequence[Validated]) -> Iterator[str]:
    """All validations as numbers, for those who cannot see the curves or want to copy them."""
    if not validated:
        return
    yield '<h2 id="validations">Validations</h2><details><summary>All as a table</summary>'
    yield '<div class="scroll" tabindex="0" role="group" aria-label="Validations"><table><thead><tr>'
    heads = ("Iteration", "PSNR, dB", "SSIM", "Sharpness", "Contrast", "Red", "Green", "Blue")
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for one in validated[-_TABLE_ROWS:]:
        values = one.validation
        cells = [f"{values.psnr:.2f}", f"{values.ssim:.4f}", f"{values.sharpness:.3f}", f"{values.contrast:.3f}"]
        cells += [f"{shift:+.2f}" for shift in values.colour]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        yield f'<tr><th scope="row">{_spaced(one.iteration)}</th>{row}</tr>'
    yield "</tbody></table></div></details>"


def _spaced(number: int) -> str:
    """1 000 000, with spaces that are narrow and do not break."""
    return f"{number:,}".replace(",", "\u202f")


def _escaped(text: str) -> str:
    """For HTML; what is not UTF-8 in a file's name becomes \\u and digits."""
    return escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _put(path: Path, page: str) -> Path:
    with appearing(path, RealESRGANError) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8", newline="\n")
    return path
