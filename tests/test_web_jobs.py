"""What becomes of a job, as a client sees it: upload, queue, progress, result, cancel, expiry, restart, crashes."""

from __future__ import annotations

import asyncio
import io
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from web import Served, events, picture, served, until

from realesrgan.web.limits import Limits
from realesrgan.web.messages import Downloading, Dropped, Equipped, Failed, Loading, Noticed, Progressed, Said, Started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "server") as made:
        yield made


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_upload_becomes_a_job_with_what_its_header_says(server: Served) -> None:
    answer = server.upload(picture(16, 12), "My cat.png", outscale="2", model_name="realesr-animevideov3")
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["name"], job["kind"], job["state"]) == ("My cat.png", "picture", "running")
    assert job["source"] == {"width": 16, "height": 12, "frames": None, "seconds": None, "bytes": len(picture(16, 12))}
    task = server.worker.tasks[0]
    assert (task.settings.outscale, task.settings.model_name) == (2.0, "realesr-animevideov3")
    assert task.source.read_bytes() == picture(16, 12)


def test_every_option_reaches_the_task(server: Served) -> None:
    server.upload(
        outscale="3", denoise_strength="0.25", face_enhance="true", face_weight="0.5", fp32="true", ext="webp",
        model_name="realesr-general-x4v3",
    )  # fmt: skip
    task = server.worker.tasks[0]
    settings = task.settings
    assert (settings.outscale, settings.denoise_strength, settings.face_enhance) == (3.0, 0.25, True)
    assert (settings.face_weight, settings.fp32, task.ext) == (0.5, True, "webp")
    assert settings.model_name == "realesr-general-x4v3"


def test_progress_is_followed_to_the_result(server: Served) -> None:
    job_id = server.upload().json()["id"]
    task = server.worker.tasks[0]
    server.worker.tell(Loading(job_id))
    assert until(lambda: server.job(job_id)["stage"]) == "loading"
    server.worker.tell(Downloading(job_id, "x.pth", 5, 10))
    until(lambda: server.job(job_id)["download"] == {"name": "x.pth", "done": 5, "total": 10})
    server.worker.tell(Started(job_id, 100, 0))
    server.worker.tell(Progressed(job_id, 40))
    server.worker.tell(Said(job_id, "`tile` is small", warning=True))
    job = until(lambda: job if (job := server.job(job_id))["warnings"] else None)
    assert (job["stage"], job["done"], job["total"], job["warnings"]) == ("restoring", 40, 100, ["tile is small"])
    assert job["seconds_left"] > 0
    server.worker.finish(task, picture(64, 48))
    job = server.wait_for(job_id, "done")
    assert job["result"] == {
        "name": "cat_out.png", "width": 64, "height": 48, "bytes": len(picture(64, 48)), "type": "image/png"
    }  # fmt: skip
    answer = server.client.get(f"/v1/jobs/{job_id}/result")
    assert answer.content == picture(64, 48)
    assert answer.headers["content-type"] == "image/png"
    assert 'filename="cat_out.png"' in answer.headers["content-disposition"]
    part = server.client.get(f"/v1/jobs/{job_id}/result", headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, picture(64, 48)[2:6])


def test_a_failure_is_told_in_one_sentence_and_hurts_no_other(server: Served) -> None:
    first, second = (server.upload().json()["id"] for _ in range(2))
    server.worker.tell(Failed(first, "`outscale` is too large"))
    job = server.wait_for(first, "failed")
    assert (job["error"], job["error_field"]) == ("outscale is too large", "outscale")
    assert server.client.get(f"/v1/jobs/{first}/result").status_code == 409
    server.worker.finish(server.worker.tasks[1])
    server.wait_for(second, "done")


def test_the_worker_has_a_few_jobs_at_a_time_and_the_rest_know_their_place(server: Served) -> None:
    ids = [server.upload().json()["id"] for _ in range(8)]
    given = [task.job for task in server.worker.tasks]
    assert given == ids[: len(given)]
    waiting = ids[len(given) :]
    assert len(waiting) >= 2
    assert [server.job(job_id)["position"] for job_id in waiting] == list(range(len(waiting)))
    server.worker.finish(server.worker.tasks[0])
    server.wait_for(waiting[0], "running")
    assert server.job(waiting[1])["position"] == 0


def test_cancelling_is_immediate_and_reaches_the_worker(server: Served) -> None:
    job_id = server.upload().json()["id"]
    answer = server.client.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.json()["state"] == "cancelled"
    assert server.worker.cancelled == [job_id]
    server.worker.tell(Progressed(job_id, 50))  # what was on its way
    server.worker.tell(Dropped(job_id))
    assert server.job(job_id)["state"] == "cancelled"
    assert server.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 409


def test_a_waiting_job_is_cancelled_without_the_worker(server: Served) -> None:
    ids = [server.upload().json()["id"] for _ in range(8)]
    server.client.post(f"/v1/jobs/{ids[-1]}/cancel")
    assert ids[-1] not in server.worker.cancelled
    for task in list(server.worker.tasks):
        server.worker.finish(task)
    until(lambda: len(server.worker.tasks) == 7)
    assert ids[-1] not in [task.job for task in server.worker.tasks]


def test_a_cancelled_job_can_be_resumed_once_the_worker_let_go(server: Served) -> None:
    job_id = server.upload().json()["id"]
    server.client.post(f"/v1/jobs/{job_id}/cancel")
    assert server.client.post(f"/v1/jobs/{job_id}/resume").status_code == 409
    server.worker.tell(Dropped(job_id))
    until(lambda: server.client.post(f"/v1/jobs/{job_id}/resume").status_code == 200)
    until(lambda: len(server.worker.tasks) == 2)
    server.worker.finish(server.worker.tasks[1])
    assert server.wait_for(job_id, "done")["error"] is None


def test_a_removed_job_leaves_nothing(server: Served) -> None:
    job_id = server.upload().json()["id"]
    server.worker.finish(server.worker.tasks[0])
    server.wait_for(job_id, "done")
    assert server.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert server.client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert files_in(server.desk.store.folder / "jobs") == []


def test_files_of_a_job_removed_while_it_runs_go_when_the_worker_lets_go(server: Served) -> None:
    job_id = server.upload().json()["id"]
    server.client.delete(f"/v1/jobs/{job_id}")
    assert files_in(server.desk.store.folder / "jobs")
    server.worker.tell(Dropped(job_id))
    until(lambda: not files_in(server.desk.store.folder / "jobs"))


def test_a_job_removed_while_it_runs_does_not_come_back_with_the_next_server(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        job_id = server.upload().json()["id"]
        server.client.delete(f"/v1/jobs/{job_id}")
    with served(tmp_path) as again:
        assert again.client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert files_in(tmp_path / "jobs") == []


def test_an_estimate_has_the_size_the_time_once_known_and_the_reason_if_it_is_too_large(tmp_path: Path) -> None:
    with served(tmp_path, limits=Limits(pixels=10_000)) as server:

        def estimate(width: int, height: int) -> Any:
            return server.client.post("/v1/estimate", json={"kind": "picture", "width": width, "height": height}).json()

        first = estimate(100, 50)
        assert (first["width"], first["height"], first["seconds"], first["error"]) == (400, 200, None, None)
        assert first["bytes"] > 10_000
        server.worker.tell(Equipped("cpu", 1, False, 1e9))
        until(lambda: estimate(100, 50)["seconds"])
        assert estimate(100, 50)["seconds"] == pytest.approx(2 * estimate(50, 50)["seconds"])
        assert "megapixels" in estimate(200, 100)["error"]


def test_with_several_devices_a_film_takes_less_and_a_picture_waits_less(tmp_path: Path) -> None:
    with served(tmp_path) as server:

        def seconds(kind: str) -> Any:
            asked = {"kind": kind, "width": 100, "height": 50, "frames": 10}
            asked["options"] = {"model_name": "realesr-animevideov3"}  # type: ignore[assignment]
            estimate = server.client.post("/v1/estimate", json=asked).json()
            return estimate["seconds"], estimate["waiting_seconds"]

        server.upload()
        server.worker.tell(Equipped("cpu", 1, False, 1e9))
        until(lambda: seconds("picture")[0])
        alone, film_alone = seconds("picture"), seconds("video")[0]
        server.worker.tell(Equipped("2 nodes with 4 devices", 4))
        until(lambda: seconds("video")[0] < film_alone)
        assert seconds("video")[0] == pytest.approx(film_alone / 4)
        assert seconds("picture") == (alone[0], pytest.approx(alone[1] / 4))


def test_of_a_cluster_the_speed_is_known_from_the_first_job_on(tmp_path: Path) -> None:
    with served(tmp_path) as server:

        def seconds() -> Any:
            return server.client.post("/v1/estimate", json={"kind": "picture", "width": 9, "height": 9}).json()[
                "seconds"
            ]

        server.worker.tell(Equipped("2 nodes with 4 devices", 4))
        until(lambda: server.client.get("/v1/models").json()["device"] == "2 nodes with 4 devices")
        assert seconds() is None
        job_id = server.upload().json()["id"]
        server.worker.finish(server.worker.tasks[0])
        server.wait_for(job_id, "done")
        assert seconds() is not None


def test_the_worker_has_two_pictures_for_each_device_and_some_that_are_read_and_written(server: Served) -> None:
    for _ in range(20):
        server.upload()
    assert len(server.worker.tasks) == 5
    server.worker.tell(Equipped("2 nodes with 4 devices", 4))
    until(lambda: len(server.worker.tasks) == 11)


def test_what_is_said_of_nodes_is_shown_on_the_terminal_only(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "realesrgan")
    job_id = server.upload().json()["id"]
    server.worker.tell(Noticed("`ray`: node 1 is lost", warning=True))
    server.worker.tell(Noticed("node 2 joins", warning=False))
    until(lambda: len(caplog.records) == 2)
    shown = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert shown == [("WARNING", "ray: node 1 is lost"), ("INFO", "node 2 joins")]
    assert (server.job(job_id)["notes"], server.job(job_id)["warnings"]) == ([], [])


def test_files_expire(tmp_path: Path) -> None:
    with served(tmp_path, limits=Limits(keep_s=60)) as server:
        job_id = server.upload().json()["id"]
        server.worker.finish(server.worker.tasks[0])
        server.wait_for(job_id, "done")
        finished = server.desk.entries[job_id].job.finished
        assert finished is not None
        server.client.portal.call(server.desk.sweep, finished + timedelta(seconds=59))  # type: ignore[union-attr]
        assert server.job(job_id)["state"] == "done"
        server.client.portal.call(server.desk.sweep, finished + timedelta(seconds=61))  # type: ignore[union-attr]
        assert server.client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert files_in(tmp_path / "jobs") == []


def test_a_restarted_server_goes_on_with_what_was_not_finished(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        done, running = (server.upload().json()["id"] for _ in range(2))
        server.worker.finish(server.worker.tasks[0])
        server.wait_for(done, "done")
    half = tmp_path / "jobs" / ("x" * 22)
    half.mkdir()
    (half / "upload").write_bytes(b"half an upload")
    with served(tmp_path) as again:
        assert again.worker.stopped is False
        assert [task.job for task in again.worker.tasks] == [running]
        assert again.client.get(f"/v1/jobs/{done}/result").content == picture(8, 6)
        assert not half.exists()


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    from realesrgan.errors import UsageError
    from realesrgan.web.store import Store

    with served(tmp_path), pytest.raises(UsageError, match="another server"), Store(tmp_path).claimed():
        pass


def test_when_the_worker_dies_each_job_is_tried_once_more_by_itself(server: Served) -> None:
    ids = [server.upload().json()["id"] for _ in range(3)]
    server.worker.die()
    until(lambda: len(server.worker.tasks) == 4)
    assert server.worker.tasks[3].job == ids[0]
    assert [server.job(job_id)["state"] for job_id in ids] == ["running", "queued", "queued"]
    server.worker.die()  # the first one is what kills it
    job = server.wait_for(ids[0], "failed")
    assert "ended twice" in job["error"]
    until(lambda: len(server.worker.tasks) == 5)
    server.worker.finish(server.worker.tasks[4])
    server.wait_for(ids[1], "done")
    until(lambda: len(server.worker.tasks) == 6)
    server.worker.finish(server.worker.tasks[5])
    server.wait_for(ids[2], "done")


def test_a_page_sees_its_own_jobs_and_no_others(server: Served) -> None:
    server.client.get("/")
    mine = server.upload().json()["id"]
    server.client.cookies.clear()
    server.client.get("/")
    theirs = server.upload().json()["id"]
    assert [job["id"] for job in server.client.get("/v1/jobs").json()["jobs"]] == [theirs]
    assert server.job(mine)["id"] == mine  # who has the id has the job


def test_events_tell_all_jobs_first_and_then_each_change(server: Served) -> None:
    job_id = server.upload().json()["id"]
    with server.client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        told = events(stream.iter_lines())
        assert next(told)[1]["state"] == "running"
        server.worker.finish(server.worker.tasks[0])
        assert [job["state"] for name, job in told][-1] == "done"


def test_results_come_as_one_zip_with_distinct_names(server: Served) -> None:
    ids = [server.upload().json()["id"] for _ in range(2)]
    for task in list(server.worker.tasks):
        server.worker.finish(task)
    for job_id in ids:
        server.wait_for(job_id, "done")
    answer = server.client.get("/v1/results.zip", params={"id": ids})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["cat_out.png", "cat_out (2).png"]
        assert archive.read("cat_out.png") == picture(8, 6)


def test_a_script_gets_its_picture_in_one_call_and_nothing_stays(server: Served) -> None:
    def finish() -> None:
        server.worker.finish(until(lambda: server.worker.tasks)[0], picture(32, 24))

    answer = in_the_meantime(finish, lambda: server.client.post("/v1/upscale", files={"file": ("a.png", picture())}))
    assert (answer.status_code, answer.content) == (200, picture(32, 24))
    until(lambda: not files_in(server.desk.store.folder / "jobs"))


def test_a_script_is_told_why_it_gets_no_picture(server: Served) -> None:
    def fail() -> None:
        server.worker.tell(Failed(until(lambda: server.worker.tasks)[0].job, "not enough memory"))

    answer = in_the_meantime(fail, lambda: server.client.post("/v1/upscale", files={"file": ("a.png", picture())}))
    assert (answer.status_code, answer.json()["error"]) == (422, "not enough memory")
    until(lambda: not files_in(server.desk.store.folder / "jobs"))


def in_the_meantime(other, call):  # type: ignore[no-untyped-def]
    """Run `call` while `other` runs in a thread; returns what `call` gives."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other)
        value = call()
        running.result()
    return value


def test_a_long_idle_worker_is_ended(tmp_path: Path) -> None:
    with served(tmp_path, limits=Limits(idle_s=0)) as server:
        job_id = server.upload().json()["id"]
        now = server.desk.entries[job_id].job.created
        server.client.portal.call(server.desk.sweep, now)  # type: ignore[union-attr]
        assert not server.worker.stopped, "it has work"
        server.worker.finish(server.worker.tasks[0])
        server.wait_for(job_id, "done")
        server.client.portal.call(server.desk.sweep, now)  # type: ignore[union-attr]
        assert server.worker.stopped


def test_a_job_that_comes_while_an_idle_worker_is_ended_is_not_lost(tmp_path: Path) -> None:
    with served(tmp_path, limits=Limits(idle_s=0)) as server:
        stop = server.worker.stop

        def stop_with_a_job() -> None:
            server.desk._loop.call_soon_threadsafe(begun.set)  # type: ignore[union-attr]
            given.wait(20)
            stop()

        begun, given = asyncio.Event(), threading.Event()
        server.worker.stop = stop_with_a_job  # type: ignore[method-assign]

        async def sweep() -> None:
            sweeping = asyncio.create_task(server.desk.sweep(datetime.now(timezone.utc)))
            await begun.wait()
            folder = server.desk.store.new_folder()
            (folder / "input.png").write_bytes(picture())
            server.desk.submit(
                folder, record.model_copy(update={"job": record.job.model_copy(update={"id": folder.name})})
            )
            given.set()
            await sweeping

        first = server.desk.entries[server.upload().json()["id"]]
        record = first.record.model_copy(deep=True)
        server.worker.finish(server.worker.tasks[0])
        server.wait_for(first.job.id, "done")
        server.client.portal.call(sweep)  # type: ignore[union-attr]
        assert len(server.worker.tasks) == 3, "it was given to the worker that ended, and to the next one"
