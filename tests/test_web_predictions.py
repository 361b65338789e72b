"""The interface of Cog servers, as their clients use it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from web import Served, picture, served, until

from realesrgan.web import taking_on
from realesrgan.web.intake import examine
from realesrgan.web.messages import Failed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "server") as made:
        yield made


def data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def predict(server: Served, then: Any, path: str = "/predictions", **inputs: Any) -> Any:
    """Ask for a prediction; `then` is given the task and plays the worker."""
    body = {"input": {"image": data_uri(picture()), **inputs}}
    method = server.client.post if path == "/predictions" else server.client.put
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(lambda: then(until(lambda: server.worker.tasks)[-1]))
        answer = method(path, json=body)
        playing.result()
    return answer


def test_a_picture_in_a_data_uri_comes_back_restored(server: Served) -> None:
    answer = predict(server, lambda task: server.worker.finish(task, picture(32, 24)), scale=2, face_enhance=True)
    body = answer.json()
    assert (answer.status_code, body["status"], body["error"]) == (200, "succeeded", None)
    assert body["output"] == data_uri(picture(32, 24))
    assert body["input"] == {"scale": 2.0, "face_enhance": True}
    assert body["metrics"]["predict_time"] >= 0
    settings = server.worker.tasks[0].settings
    assert (settings.outscale, settings.face_enhance) == (2.0, True)
    until(lambda: not list((server.desk.store.folder / "jobs").iterdir()))


def test_a_failure_is_a_prediction_that_failed(server: Served) -> None:
    answer = predict(server, lambda task: server.worker.tell(Failed(task.job, "not enough memory")))
    assert (answer.json()["status"], answer.json()["error"]) == ("failed", "not enough memory")


def test_a_prediction_with_an_id_can_be_cancelled(server: Served) -> None:
    def cancel(task: Any) -> None:
        assert server.client.post("/predictions/mine/cancel").status_code == 200

    assert predict(server, cancel, "/predictions/mine").json()["status"] == "canceled"
    assert server.client.post("/predictions/mine/cancel").status_code == 404


@pytest.mark.parametrize(
    "image",
    [
        "http://localhost/a.png",
        "https://example.org/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "",
        "data:,x",
        "data:image/png;base64,@@@",
    ],
)
def test_addresses_are_never_fetched(server: Served, image: str) -> None:
    answer = server.client.post("/predictions", json={"input": {"image": image}})
    assert (answer.status_code, answer.json()["field"]) == (422, "image")
    assert server.worker.tasks == []


def test_webhooks_are_refused(server: Served) -> None:
    body = {"input": {"image": data_uri(picture())}, "webhook": "http://localhost/"}
    assert server.client.post("/predictions", json=body).status_code == 422


@pytest.mark.parametrize("inputs", [{"scale": 0}, {"scale": 1000}, {"other": 1}, {"face_enhance": "perhaps"}])
def test_wrong_inputs_are_refused(server: Served, inputs: dict[str, Any]) -> None:
    answer = server.client.post("/predictions", json={"input": {"image": data_uri(picture()), **inputs}})
    assert (answer.status_code, answer.json()["field"]) == (422, next(iter(inputs)))


def test_the_server_says_that_it_is_ready(server: Served) -> None:
    assert server.client.get("/health-check").json() == {"status": "READY"}


def test_of_two_predictions_of_one_id_one_is_refused(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def examined(*arguments: Any) -> Any:
        both.wait(20)  # both were let in before either is queued
        return examine(*arguments)

    monkeypatch.setattr(taking_on, "examine", examined)
    body = {"input": {"image": data_uri(picture())}}
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(server.client.put, "/predictions/mine", json=body) for _ in range(2)]
        wait(asked, 20, FIRST_COMPLETED)  # the other one is queued by then
        for task in list(server.worker.tasks):
            server.worker.finish(task)
        answers = sorted((answer.result() for answer in asked), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[1].json()["field"] == "id"
