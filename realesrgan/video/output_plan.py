"""Choose the container of a result, and what becomes of every other stream; tried out before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UsageError
from .containers import CONTAINERS, Container, Treatment, describe, is_lossless
from .encoding import Encoding
from .sources.source import OtherStream, VideoSource
from .trial import Trial, try_out

_SPOKEN = {
    "aac": "AAC",
    "libopus": "Opus",
    "flac": "FLAC",
    "alac": "ALAC",
    "mov_text": "timed text",
    "subrip": "SRT",
    "webvtt": "WebVTT",
}
_MINOR = ("data", "attachment")  # kinds of streams that a viewer hardly misses
# What the treatment of a stream costs, to choose between containers.
_OTHER_TEXT_COST, _OTHER_LOSSLESS_COST, _LOSSY_AGAIN_COST, _FIRST_LOSS_COST, _DROP_COST = 1, 1, 2, 3, 100


@dataclass(frozen=True)
class OutputPlan:
    """The extension and what becomes of each other stream, by index; a line for each that is not as it was.

    `warnings` are those by which the viewer loses something.
    """

    extension: str
    remarks: tuple[str, ...] = ()
    treatments: Mapping[int, Treatment] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def container(self) -> Container:
        return CONTAINERS[self.extension]


@dataclass(frozen=True)
class _Choice:
    """What becomes of a stream in some container, why it cannot be copied, and how much that costs."""

    treatment: Treatment
    reason: str = ""
    cost: int = 0


def plan_output(source: VideoSource, encoding: Encoding, extension: str | None) -> OutputPlan:
    """Choose the container: .mp4 unless .mkv keeps more; `extension` decides.

    Every stream is muxed in a trial, so that what is planned also works.

    Raises:
        UsageError: the container asked for cannot hold video of this encoder.
    """
    if extension is not None and not CONTAINERS[extension].holds_video(encoding.codec):
        raise UsageError(_no_room(extension, encoding))
    names = [name for name in ("mp4", "mkv") if CONTAINERS[name].holds_video(encoding.codec)]
    choices = _choices(source, [extension] if extension else names)
    best = min(choices, key=lambda name: sum(choice.cost for choice in choices[name].values()))
    remarks: list[str] = []
    warnings: list[str] = []
    if extension is None and best == "mkv":
        remarks.append(f"the output is .mkv, because .mp4 cannot hold {_misfits(source, encoding, choices.get('mp4'))}")
    if source.pixel_aspect != 1 and not CONTAINERS[best].holds_aspect(encoding.codec):
        remarks.append(f"the pixel aspect {source.pixel_aspect} is lost: .{best} with {encoding.codec} has no room")
    for other in source.others:
        choice = choices[best][other.index]
        if line := _remark(other, choice, best):
            is_loss = choice.treatment is Treatment.DROP and other.kind not in _MINOR
            (warnings if is_loss else remarks).append(line)
    treatments = {index: choice.treatment for index, choice in choices[best].items()}
    return OutputPlan(best, tuple(remarks), treatments, tuple(warnings))


def _misfits(source: VideoSource, encoding: Encoding, in_mp4: Mapping[int, _Choice] | None) -> str:
    """What an .mp4 cannot hold as it is: "aac audio, 3 × srt subtitle"."""
    if in_mp4 is None:
        return f"{encoding.codec} video"
    counts = Counter(describe(other) for other in source.others if in_mp4[other.index].cost)
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in counts.items())


def _choices(source: VideoSource, names: list[str]) -> dict[str, dict[int, _Choice]]:
    """For each container, what becomes of each stream in it."""
    if not source.others:
        return {name: {} for name in names}
    with try_out(source) as trial:
        return {
            name: {other.index: _choice(other, CONTAINERS[name], trial) for other in source.others} for name in names
        }


def _choice(other: OtherStream, container: Container, trial: Trial) -> _Choice:
    if trial.is_timecode(other):
        return _Choice(Treatment.TAG)
    reason = ""
    for treatment in container.treatments(other):
        refusal = trial.refusal(other, container, treatment)
        if refusal is None:
            return _Choice(treatment, reason, _cost(other, container) if treatment is Treatment.ENCODE else 0)
        reason = refusal
    # Data costs nothing: no container takes it.
    return _Choice(Treatment.DROP, reason, 0 if other.kind == "data" else _DROP_COST)


def _cost(other: OtherStream, container: Container) -> int:
    """What encoding a stream anew costs."""
    if other.kind != "audio":
        return _OTHER_TEXT_COST
    if not is_lossless(other.codec):
        return _LOSSY_AGAIN_COST
    return _OTHER_LOSSLESS_COST if is_lossless(container.instead(other)) else _FIRST_LOSS_COST


def _remark(other: OtherStream, choice: _Choice, extension: str) -> str | None:
    if choice.treatment is Treatment.ENCODE:
        instead = _SPOKEN[CONTAINERS[extension].instead(other)]
        return f"{describe(other)} is encoded anew as {instead}: .{extension} cannot hold it"
    if choice.treatment is Treatment.DROP:
        because = f" ({choice.reason})" if choice.reason else ""
        return f"left out: {describe(other)}, which .{extension} cannot hold{because}"
    return None


def _no_room(extension: str, encoding: Encoding) -> str:
    holds = CONTAINERS[extension].video or frozenset()
    fitting = [name for name in ("libx264", "libvpx-vp9", "libsvtav1", "prores_ks") if name in holds]
    return f"`ext` {extension}: cannot hold {encoding.codec} video; try `codec` {' or '.join(fitting)}, or `ext` mkv"
