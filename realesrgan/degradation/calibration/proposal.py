"""The recipe that fits a folder of pictures, as lines of YAML that say what each was made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...words import count
from ..recipe import PUBLISHED, Recipe
from .history import QUALITIES
from .matching import ROUNDS, match
from .summary import Spread, Summary, spread

FEWEST_TOLD = 5  # answers that make a probability
LEAST_JPEG_SHARE = 0.25  # of the pictures; with fewer traces, a range would be that of exceptions
SMALLEST_RESIZE = 0.1  # of the final size
# Enlarged pictures have something above the highest frequency of the smaller ones; bicubic resizing leaves so much.
RESIZE_TAIL = 1.1
MATCHED = ("noise_range", "noise_range2", "poisson_scale_range", "poisson_scale_range2")
MATCHED_BLUR = ("blur_sigma", "blur_sigma2", "final_sinc_prob")


@dataclass(frozen=True)
class Proposal:
    """A recipe, and the text of a file of it; keys that are not in the text are as published."""

    recipe: Recipe
    text: str


@dataclass(frozen=True)
class _Section:
    """What was measured, in words, and the keys that follow from it."""

    remark: str
    keys: dict[str, Any]


def propose(found: Summary, scale: int, progressed: Callable[[float], None], *, rounds: int = ROUNDS) -> Proposal:
    """Make the recipe whose results, `scale` times smaller than the originals, measure as `found`.

    `progressed` is called with the share that is done, and may raise, to cancel.
    """
    jpeg, kinds, sizes = _jpeg(found), _kinds(found), _sizes(found, scale)
    told = {key: value for section in (jpeg, kinds, sizes) for key, value in section.keys.items()}
    matched = match(found, Recipe.model_validate({"scale": scale} | told), progressed, rounds=rounds)
    noise = {key: getattr(matched, key) for key in MATCHED} if spread(found.strengths) else {}
    blur = {key: getattr(matched, key) for key in MATCHED_BLUR} if spread(found.blurs) else {}
    sections = [
        _Section(f"measured: {count(len(found.measurements), 'picture')}; what is not here is as published", {}),
        _Section("", {} if scale == PUBLISHED.scale else {"scale": scale}),
        jpeg,
        _Section(_noise_in_words(found), noise),
        kinds,
        sizes,
        _Section(_in_words("blur", spread(found.blurs), "px"), blur),
    ]
    rounded = {key: _rounded(value) for section in sections for key, value in section.keys.items()}
    return Proposal(Recipe.model_validate(rounded), "\n".join(map(_text, sections)).replace("\n\n", "\n") + "\n")


def _jpeg(found: Summary) -> _Section:
    qualities = spread(found.qualities)
    total = len(found.measurements)
    if qualities is None:
        # Coarser steps would have left a trace, unless the picture was resized since.
        finest = (float(QUALITIES[-1]), 100.0)
        return _Section("JPEG: no picture shows a trace of it", {"jpeg_range2": finest})
    remark = f"JPEG: {qualities.count} of {count(total, 'picture')}, {_range(qualities)}"
    if qualities.count < LEAST_JPEG_SHARE * total:
        return _Section(f"{remark}: too few for a range", {})
    return _Section(remark, {"jpeg_range2": (qualities.low, qualities.high), "jpeg_tables": "standard"})


def _kinds(found: Summary) -> _Section:
    """Probabilities of the kinds of noise."""
    keys: dict[str, Any] = {}
    words = []
    grows, numbers = found.share(lambda noise: noise.grows), found.answers(lambda noise: noise.grows)
    if grows is not None and numbers >= FEWEST_TOLD:
        keys |= dict.fromkeys(("gaussian_noise_prob", "gaussian_noise_prob2"), 1 - grows)
        words.append(f"grows with brightness in {grows:.0%} of {count(numbers, 'picture')}")
    coloured, numbers = found.share(lambda noise: noise.colour), found.answers(lambda noise: noise.colour)
    if coloured is not None and numbers >= FEWEST_TOLD:
        keys |= dict.fromkeys(("gray_noise_prob", "gray_noise_prob2"), 1 - coloured)
        words.append(f"is gray in {1 - coloured:.0%} of {count(numbers, 'picture')}")
    return _Section(f"noise {', '.join(words)}" if words else "", keys)


def _sizes(found: Summary, scale: int) -> _Section:
    """How far pictures may be made smaller than they end: to no less than what they hold."""
    cutoffs = spread([cutoff / math.pi for cutoff in found.cutoffs])
    if cutoffs is None:
        return _Section("cut-off: cannot be told", {})
    smallest = 1.0 if cutoffs.low >= 1 else max(cutoffs.low / RESIZE_TAIL, SMALLEST_RESIZE)
    first = min(1.0, max(PUBLISHED.resize_range[0], smallest / scale))
    keys = {
        "resize_range": (first, PUBLISHED.resize_range[1]),
        "resize_range2": (smallest, PUBLISHED.resize_range2[1]),
    }
    return _Section(_in_words("cut-off", cutoffs, "pi"), keys)


def _noise_in_words(found: Summary) -> str:
    """With how many pictures could not be told, if any."""
    words = _in_words("noise", spread(found.strengths), "levels")
    untold = len(found.measurements) - len(found.strengths)
    return f"{words}; not told in {count(untold, 'picture')}" if untold and found.strengths else words


def _in_words(what: str, values: Spread | None, unit: str) -> str:
    return f"{what}: cannot be told" if values is None else f"{what}: {_range(values)} {unit}"


def _range(values: Spread) -> str:
    return f"{values.low:.3g} to {values.high:.3g} (middle {values.middle:.3g})"


def _text(section: _Section) -> str:
    lines = [f"# {section.remark}"] if section.remark else []
    return "\n".join([*lines, *(f"{key}: {_yaml(_rounded(value))}" for key, value in section.keys.items())])


def _rounded(value: Any) -> Any:
    """Numbers with the digits that mean something."""
    if isinstance(value, tuple):
        return tuple(_rounded(one) for one in value)
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
