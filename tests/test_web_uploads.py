"""What is taken on and what is refused, with which status and in which words; refused uploads leave nothing."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, moving
from web import Served, picture, served

from realesrgan.web.intake import display_name, file_name
from realesrgan.web.limits import Limits


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "server", limits=Limits(upload_bytes=100_000, pixels=10_000, seconds=1.5, jobs=10)) as made:
        yield made


def folders(server: Served) -> list[str]:
    return os.listdir(server.desk.store.folder / "jobs")


def refused(server: Served, answer: Any, status: int, *words: str) -> Any:
    """Check that a request was refused, in these words, and that nothing of it stays."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "field"}
    for word in words:
        assert word in answer.json()["error"]
    assert str(server.desk.store.folder) not in answer.text
    assert server.worker.tasks == []
    assert folders(server) == []
    return answer.json()["field"]


def test_a_file_that_is_no_picture_and_no_video_is_refused(server: Served) -> None:
    assert refused(server, server.upload(b"plain text", "cat.txt"), 415, "neither a picture nor a video") == "file"
    refused(server, server.upload(b"plain text", "cat.png"), 415)
    refused(server, server.upload(b"", "cat.png"), 415)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>',
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.png", "a.svg", "a"])
def test_files_that_name_other_files_are_refused(server: Served, content: bytes, name: str) -> None:
    refused(server, server.upload(content, name), 415)


def test_a_playlist_of_a_real_video_is_refused(server: Served, tmp_path: Path) -> None:
    Clip(moving(3)).write(tmp_path / "secret.mkv")
    playlist = f"ffconcat version 1.0\nfile {tmp_path}/secret.mkv\n"
    refused(server, server.upload(playlist.encode(), "a.mkv"), 415)


def test_an_upload_above_the_limit_is_refused_announced_or_not(server: Served) -> None:
    large = os.urandom(100_001)
    assert refused(server, server.upload(large), 413, "0 MB") == "file"
    boundary = b"--b\r\ncontent-disposition: form-data; name=file; filename=a.png\r\n\r\n"

    def in_pieces() -> Iterator[bytes]:
        yield boundary
        for _ in range(1000):
            yield large[:1000]

    headers = {"content-type": "multipart/form-data; boundary=b"}
    refused(server, server.client.post("/v1/jobs", content=in_pieces(), headers=headers), 413)


def test_too_many_pixels_are_refused_before_they_are_decoded(server: Served) -> None:
    assert refused(server, server.upload(picture(200, 100)), 422, "200×100", "megapixels") == "file"


def test_too_long_a_video_is_refused(server: Served, tmp_path: Path) -> None:
    clip = Clip(moving(60)).write(tmp_path / "clip.mkv")
    refused(server, server.upload(clip.read_bytes(), "clip.mkv"), 422, "longer than")


def test_a_video_is_known_by_its_content(server: Served, tmp_path: Path) -> None:
    clip = Clip(moving(12)).write(tmp_path / "clip.mkv")
    job = server.upload(clip.read_bytes(), "holiday.bin").json()
    assert (job["kind"], job["source"]["frames"]) == ("video", 12)
    assert job["options"]["model_name"] == "realesr-animevideov3"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outscale", "0"), ("outscale", "65"), ("outscale", "nan"), ("outscale", "x"), ("denoise_strength", "2"),
        ("face_weight", "-1"), ("fp32", "maybe"), ("ext", "exe"), ("ext", "../png"), ("model_name", "nothing"),
        ("nonsense", "1"), ("model_path", "/etc/passwd"), ("gpu_id", "3"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_by_its_name(server: Served, field: str, value: str) -> None:
    assert refused(server, server.upload(**{field: value}), 422) == field


def test_what_is_no_form_is_refused(server: Served) -> None:
    post = server.client.post
    multipart = {"content-type": "multipart/form-data; boundary=b"}
    refused(server, post("/v1/jobs", data={"file": "x"}), 415)
    refused(server, post("/v1/jobs", content=b"x", headers={"content-type": "multipart/form-data"}), 415)
    refused(server, post("/v1/jobs", content=b"nonsense", headers=multipart), 400)
    refused(server, post("/v1/jobs", content=b"", headers=multipart), 422)
    refused(server, post("/v1/jobs", files={"other": ("a.png", picture())}), 422)
    refused(server, post("/v1/jobs", files=[("file", ("a.png", picture())), ("file", ("b.png", picture()))]), 422)
    refused(server, server.upload(**{f"f{number}": "1" for number in range(30)}), 422)
    refused(server, server.upload(model_name="x" * 20_000), 413)


def test_half_an_upload_is_refused(server: Served) -> None:
    begun = b"--b\r\ncontent-disposition: form-data; name=file; filename=a.png\r\n\r\n" + picture()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    refused(server, server.client.post("/v1/jobs", content=begun, headers=headers), 422)


def test_a_full_queue_is_said(server: Served) -> None:
    for _ in range(10):
        assert server.upload().status_code == 202
    answer = server.upload()
    assert (answer.status_code, "10 jobs are waiting" in answer.json()["error"]) == (429, True)
    assert len(folders(server)) == 10


def test_a_full_disk_is_said(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.desk.store, "free_bytes", lambda: 1000)
    refused(server, server.upload(), 507, "disk is full")
    body = {"input": {"image": "data:image/png;base64," + base64.b64encode(picture()).decode()}}
    refused(server, server.client.post("/predictions", json=body), 507, "disk is full")


def test_a_disk_that_fills_up_meanwhile_is_said(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server.desk.store, "new_folder", full)
    refused(server, server.upload(), 507, "disk is full")
    assert server.desk.uploading == 0


def test_a_folder_that_vanished_is_said(server: Served) -> None:
    jobs = server.desk.store.folder / "jobs"
    jobs.rmdir()
    answer = server.upload()
    assert (answer.status_code, "folder is gone" in answer.json()["error"]) == (507, True)
    jobs.mkdir()
    assert server.upload().status_code == 202


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("a\x00b\nc\u202egnp.exe", "abcgnp.exe"),
        ("...", "file"),
        ("", "file"),
        ("猫.png", "猫.png"),
        ("x" * 500 + ".png", "x" * 167 + ".png"),
        ("猫" * 200 + ".png", "猫" * 55 + ".png"),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_clients_file_name_is_display_text(given: str, shown: str) -> None:
    assert display_name(given) == shown


@pytest.mark.parametrize("name", ["a.png", "b.PNG", "c.mkv", "d.exe", "e", "f.../..", "g.png.sh"])
def test_no_part_of_a_clients_name_reaches_the_disk_but_a_usual_extension(name: str) -> None:
    assert file_name(name) in ("input", "input.png", "input.mkv")
