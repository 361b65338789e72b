"""The interface keeps what its OpenAPI document says, for whatever is sent to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from web import BusyWorker, PlayedWorker, listening

from realesrgan.loading import Settings
from realesrgan.web.app import build
from realesrgan.web.desk import Desk
from realesrgan.web.limits import Limits
from realesrgan.web.store import Store


def operations() -> list[Any]:
    """All calls of the document but the streams, which never end."""
    app = build(Desk(Store(Path(tempfile.gettempdir())), Limits(), Settings(), PlayedWorker))
    document = schemathesis.openapi.from_dict(app.openapi())
    found = [result.ok() for result in document.get_all_operations()]
    return [operation for operation in found if not operation.path.endswith("events")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with listening(tmp_path_factory.mktemp("server"), BusyWorker) as (address, _):
        yield address


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_every_answer_is_one_that_is_documented(operation: Any, address: str) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        # Random bytes are valid by the document, and yet no picture.
        case.call_and_validate(base_url=address, excluded_checks=[positive_data_acceptance])

    check()


def test_every_call_is_described() -> None:
    found = operations()
    assert len(found) > 15
    for operation in found:
        assert operation.definition.raw.get("description") or operation.definition.raw.get("summary"), operation.label
