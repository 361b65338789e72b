"""A file with faults is refused with all of them, each with its line; one without is read as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from realesrgan.errors import UsageError
from realesrgan.strict_yaml import parse, read, validate


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    strength: float = Field(default=1.0, ge=0)
    weights: tuple[float, ...] = ()


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


def test_a_few_lines_of_aliases_that_stand_for_millions_of_values_are_refused() -> None:
    lines = [
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
    ]
    assert "aliases" in refusal("\n".join(lines))
