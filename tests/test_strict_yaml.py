"""A file with faults is refused with all of them, each with its line; one without is read as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from realesrgan.errors import UsageError
from realesrgan.strict_yaml import Fault, attempt, lines, parse, read, validate


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    strength: float = Field(default=1.0, ge=0)
    weights: tuple[float, ...] = ()


class Round(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["round"]
    radius: float = 1


class Square(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["square"]
    side: float = 1


class Nested(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inside: Wanted = Wanted()
    shape: Round | Square | None = Field(default=None, discriminator="type")
    named: dict[str, Wanted] = {}
    whole_number: int = Field(default=0, alias="number")


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        validate(Wanted, parse(text, "a.yml"))
    return str(caught.value)


def test_a_file_without_faults_is_read() -> None:
    assert validate(Wanted, parse("strength: !!float 5e3  # a comment\nweights: [1, 2]\n", "a.yml")) == Wanted(
        strength=5000, weights=(1, 2)
    )
    assert validate(Wanted, parse("", "a.yml")) == Wanted()


def test_all_faults_are_named_each_with_its_line() -> None:
    message = refusal("# first\nstrenght: 1\nweights:\n- 1\n- wide\nstrength: -1\n")
    assert message.splitlines()[0] == "a.yml: 3 errors"
    assert "line 2: strenght: there is no such key; is strength meant?" in message
    assert "line 5: weights[1]: input should be a valid number" in message
    assert "line 6: strength: input should be greater than or equal to 0" in message


def test_one_fault_is_one_line() -> None:
    assert refusal("colour: red") == "a.yml: line 1: colour: there is no such key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("strength: 1\nweights: []\nstrength: 2", "line 3: strength: is given twice"),
        ("[1, 2]", "must hold keys"),
        ("just words", "must hold keys"),
        ("a: [1, 2", "not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a: !!float x", "not valid YAML"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
        ("a: &a [*a]", "not valid YAML"),
        ("a: 1\x07", "not valid YAML"),
    ],
)
def test_what_is_no_mapping_or_has_a_key_twice_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read"), (b"\xff\xfe\x00", "not a text file")])
def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inside:\n  strenght: 1", "line 2: inside.strenght: there is no such key; is strength meant?"),
        ("inside:\n  strength: -1", "line 2: inside.strength: input should be greater"),
        ("inside:\n  weights: [1, x]", "line 2: inside.weights[1]: input should be"),
        ("shape:\n  type: round\n  radios: 1", "line 3: shape.radios: there is no such key; is radius meant?"),
        ("shape:\n  type: round\n  radius: x", "line 3: shape.radius: input should be"),
        ("shape:\n  type: square\n  radius: 1", "line 3: shape.radius: there is no such key for this type"),
        ("shape:\n  type: oval", "line 1: shape: type oval: input should be 'round' or 'square'"),
        ("shape:\n  radius: 1", "line 1: shape: type is missing"),
        ("named:\n  a:\n    wieghts: [1]", "line 3: named.a.wieghts: there is no such key; is weights meant?"),
        ("inside: 5", "line 1: inside: should hold keys with values"),
        ("radius: 1", "line 1: radius: there is no such key here; it belongs below shape"),
        ("inside:\n  number: 1", "line 2: inside.number: there is no such key here; it belongs at the top"),
        ("whole_number: 1", "line 1: whole_number: there is no such key"),
        ("numbr: 1", "line 1: numbr: there is no such key; is number meant?"),
        ("inside:\n  others: 1", "line 2: inside.others: there is no such key here; it belongs at the top"),
        ("othres: 1", "line 1: othres: there is no such key; is others meant?"),
    ],
)
def test_a_fault_within_sections_has_its_own_place_and_the_keys_of_its_level(text: str, words: str) -> None:
    document = parse(text, "a.yml")
    _, faults = attempt(Nested, document, also={(): {"others"}})
    (line,) = lines(document, faults)
    assert line.startswith(words)


def test_of_a_union_only_the_keys_of_the_chosen_type_may_be_meant() -> None:
    document = parse("shape:\n  type: square\n  radios: 1", "a.yml")
    assert lines(document, attempt(Nested, document)[1]) == ["line 3: shape.radios: there is no such key"]


def test_what_is_right_is_made_beside_what_is_not() -> None:
    made, faults = attempt(Nested, parse("inside: {strength: 3, wieghts: 1}\nnumber: x", "a.yml"))
    assert made == Nested(inside=Wanted(strength=3))
    assert [fault.path for fault in faults] == [("inside", "wieghts"), ("number",)]


def test_a_changed_key_is_named_by_what_changed_it_and_the_file_stays() -> None:
    document = parse("inside:\n  strength: 1\nnumber: 1\n", "a.yml")
    changed = document.changed(("inside", "strength"), -1, "`set`").changed(("named", "a", "strength"), 2, "`set`")
    made, faults = attempt(Nested, changed)
    assert lines(changed, faults) == ["`set`: inside.strength: input should be greater than or equal to 0"]
    assert made == Nested(number=1, named={"a": Wanted(strength=2)})
    assert document.content == {"inside": {"strength": 1}, "number": 1}
    with pytest.raises(UsageError, match=r"set: number has no keys of its own"):
        document.changed(("number", "deep"), 1, "`set`")


def test_faults_are_said_in_the_order_of_the_file() -> None:
    document = parse("a: 1\nb: 1\nc: 1", "a.yml")
    faults = [Fault((key,), key, "is wrong") for key in "cab"]
    assert lines(document, faults) == [f"line {n}: {key}: is wrong" for n, key in enumerate("abc", 1)]


def test_a_few_lines_of_aliases_that_stand_for_millions_of_values_are_refused() -> None:
    lines = [
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
    ]
    assert "aliases" in refusal("\n".join(lines))


def test_a_file_that_is_too_large_for_keys_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("number: 1\n#" + "x" * 999_987 + "\n")
    assert read(path).content == {"number": 1}
    path.write_text(path.read_text() + "a: [1,")
    with pytest.raises(UsageError, match="a.yml: too large for a file of keys"):
        read(path)
