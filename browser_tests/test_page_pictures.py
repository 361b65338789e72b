"""From a file to its result: chosen, dropped, pasted, taken from the samples; progress, download, several at once."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from server_process import PROJECT
from visitor import FAST_MODEL, Visitor, sync_api
from web import picture

CAT = PROJECT / "inputs" / "cat.jpg"
expect = sync_api.expect


def decoded(content: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_download_is_what_the_interface_and_the_command_give(visitor: Visitor, tmp_path: Path) -> None:
    visitor.choose(CAT)
    visitor.start()
    visitor.expect_state("cat.jpg", "done")
    with visitor.page.expect_download() as caught:
        visitor.press("cat.jpg", "download")
    downloaded = Path(caught.value.path()).read_bytes()
    command = [sys.executable, "inference_realesrgan.py", "-i", str(CAT), "-o", str(tmp_path), "-n", FAST_MODEL]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    assert caught.value.suggested_filename == "cat_out.jpg"
    assert downloaded == visitor.result_of("cat.jpg")
    assert np.array_equal(decoded(downloaded), cv2.imread(str(tmp_path / "cat_out.jpg"), cv2.IMREAD_UNCHANGED))


def test_progress_grows_until_a_picture_is_done(visitor: Visitor) -> None:
    visitor.page.evaluate(
        """() => {
          window.shares = [];
          const note = () => {
            const bar = document.querySelector("#queue progress:not([hidden])[value]");
            if (bar?.closest(".row").dataset.state === "running") window.shares.push(bar.value);
          };
          new MutationObserver(note).observe(document.querySelector("#queue"), {subtree: true, attributes: true});
        }"""
    )
    visitor.choose({"name": "large.png", "mimeType": "image/png", "buffer": picture(900, 700)})
    visitor.start()
    row = visitor.expect_state("large.png", "done")
    shares = visitor.page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert len({share for share in shares if 0 < share < 1}) > 2, shares
    expect(row.locator("progress")).to_be_hidden()
    expect(row).to_contain_text("3600 × 2800")


DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  const fire = (kind) => document.querySelector("h1").dispatchEvent(
    new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  fire("dragenter");
  fire("dragover");
  const isOver = document.querySelector("#drop").classList.contains("over");
  return { isOver, leavesThePage: fire("drop") };
}"""
PASTE = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }));
}"""


def test_a_dropped_picture_is_restored_and_the_browser_does_not_open_it(visitor: Visitor) -> None:
    content = base64.b64encode(picture(20, 10)).decode()
    seen = visitor.page.evaluate(DROP, [content, "dropped.png"])
    assert seen == {"isOver": True, "leavesThePage": False}
    chosen = visitor.page.locator("#chosen")
    expect(chosen).to_contain_text("20 × 10")
    expect(chosen).to_contain_text("80 × 40")  # the estimate
    visitor.start()
    visitor.expect_state("dropped.png", "done")
    assert decoded(visitor.result_of("dropped.png")).shape == (40, 80, 3)


def test_a_pasted_picture_and_a_sample_are_chosen_and_can_be_taken_off(visitor: Visitor) -> None:
    visitor.page.evaluate(PASTE, [base64.b64encode(picture()).decode(), "pasted.png"])
    visitor.page.locator('[data-test="sample"][data-name="clip.mkv"]').click()
    rows = visitor.page.locator("#chosen > .row")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("512 × 384")
    expect(visitor.page.locator("#start")).to_have_text("Restore 2 files")
    for row in (1, 0):
        rows.nth(row).locator("button").click()
    expect(rows).to_have_count(0)
    expect(visitor.page.locator("#start")).to_be_disabled()


def test_an_unreadable_file_is_refused_in_words_and_the_others_are_done(visitor: Visitor) -> None:
    visitor.watch.expect(r"status of 4\d\d")  # how Chromium notes the refusal
    nonsense = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n nonsense"}
    others = [{"name": name, "mimeType": "image/png", "buffer": picture(16, 12)} for name in ("a.png", "b.png")]
    visitor.choose(others[0], nonsense, others[1])
    visitor.start()
    for name in ("a.png", "b.png"):
        visitor.expect_state(name, "done")
    refused = visitor.expect_state("broken.png", "upload-failed", "failed")
    expect(refused.locator('[data-test="error"]')).to_have_text("File: the file cannot be read: damaged or cut short")
    with visitor.page.expect_download() as caught:
        visitor.page.locator("#download-all").click()
    with ZipFile(io.BytesIO(Path(caught.value.path()).read_bytes())) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a_out.png": visitor.result_of("a.png"),
            "b_out.png": visitor.result_of("b.png"),
        }


def test_what_the_server_refuses_is_said_beside_the_field(visitor: Visitor) -> None:
    visitor.choose(CAT)
    visitor.page.get_by_role("radio", name="Other").check()
    number = visitor.page.locator("#outscale-other")
    number.fill("100")
    visitor.page.locator("#start").click()
    expect(visitor.page.locator("#outscale-error")).to_have_text("Enter a number above 0, up to 64.")
    expect(number).to_be_focused()
    assert visitor.page.locator("#queue > .row").count() == 0
    number.fill("0.5")
    expect(visitor.page.locator("#outscale-error")).to_be_hidden()
    expect(visitor.page.locator("#chosen")).to_contain_text("80 × 60")
    visitor.start()
    visitor.expect_state("cat.jpg", "done")
    assert decoded(visitor.result_of("cat.jpg")).shape == (60, 80, 3)


@pytest.mark.parametrize("kind", ["remove", "clear"])
def test_a_removed_result_is_gone_from_the_page_and_the_server(visitor: Visitor, kind: str) -> None:
    job = visitor.submit(picture(), "gone.png")
    visitor.expect_state("gone.png", "done")
    visitor.press("gone.png", "remove") if kind == "remove" else visitor.page.locator("#clear-finished").click()
    expect(visitor.row("gone.png")).to_have_count(0)
    expect(visitor.page.locator("#queue-empty")).to_be_visible()
    answer = visitor.context.request.get(f"{visitor.server.address}v1/jobs/{job['id']}", fail_on_status_code=False)
    assert answer.status == 404
