"""Printing never stops the work, and an interruption at any time is one line."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realesrgan.cli import console
from realesrgan.errors import UsageError

PROJECT = Path(__file__).parents[1]
PATIENCE_S = 60  # longer than anything here takes; only a test that fails waits for it
posix = pytest.mark.skipif(os.name == "nt", reason="Windows closes and signals differently")


class Refusing(io.TextIOWrapper):
    """A stream that can no longer be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(io.BytesIO())
        self.error = error
        self.asked = 0

    def write(self, text: str) -> int:
        self.asked += 1
        raise self.error

    def fileno(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space"), ValueError("closed")])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_refuses_is_tried_once_and_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    stream = Refusing(error)
    monkeypatch.setattr(sys, name, stream)
    speak = console.print_result if name == "stdout" else console.say

    def command() -> int:
        for number in range(3):
            speak(f"line {number}")
        return console.DONE

    assert console.run(command) == console.DONE
    assert stream.asked == 1


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_missing_stream_does_not_matter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, name, None)

    def command() -> int:
        console.say("a")
        console.print_result("b")
        with console.progress_bar(3, "px") as bar:
            bar.update(1)
        return console.DONE

    assert console.run(command) == console.DONE


@pytest.mark.parametrize(("code", "prints_results", "expected"), [(0, True, 141), (0, False, 0), (1, True, 1)])
def test_a_closed_pipe_sets_the_exit_code_where_printing_is_all_the_command_does(
    monkeypatch: pytest.MonkeyPatch, code: int, prints_results: bool, expected: int
) -> None:
    def command() -> int:
        console.print_result("a result")
        return code

    monkeypatch.setattr(sys, "stdout", Refusing(BrokenPipeError()))
    assert console.run(command, prints_results=prints_results) == expected


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_any_name_can_be_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors="strict"))
    console.print_result("caf\udce9 画像.png")
    console.print_result("\ud800.png")
    first, second = raw.getvalue().splitlines()
    assert first.startswith(rb"caf\xe9 ")
    assert second == rb"\ud800.png"


def test_memory_too_small_to_begin_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def begin() -> int:
        raise MemoryError

    assert console.run(begin) == console.SOME_FAILED
    assert capsys.readouterr().err == "error: not enough memory\n"


def test_options_in_messages_are_spelled_as_flags(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        console.say("a folder; `recursive` goes into it")
        raise UsageError("`input` x.png: try `tile` 34 or `gpu_id` cpu")

    assert console.run(command) == console.WRONG_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["a folder; --recursive goes into it", "error: -i x.png: try --tile 34 or -g cpu"]


@posix
def test_a_working_folder_that_no_longer_exists_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert console.run(lambda: pytest.fail("the command was run")) == console.WRONG_USAGE
    monkeypatch.chdir(tmp_path)
    assert len(capsys.readouterr().err.splitlines()) == 1


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_handlers_are_restored(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def command() -> int:
        console.started_up()
        return console.DONE

    assert console.run(command) == console.DONE
    assert signal.getsignal(number) is before


def run_python(program: str, **options: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # not as a shell's background job
        **options,  # type: ignore[call-overload]
    )


STARTING = """
import sys
class Slow:
    "The first thing that is imported after the signals are taken care of."
    def find_spec(self, name, path=None, target=None):
        if name == "realesrgan.cli.image":
            print("importing", flush=True)
            try:
                import time; time.sleep(60)
            except BaseException:
                raise ImportError("what some modules make of any exception")
sys.meta_path.insert(0, Slow())
from realesrgan.cli.main import image
sys.exit(image())
"""

WORKING = """
import sys, time
from realesrgan.cli import console
def command():
    console.started_up()
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("put in order", flush=True)
sys.exit(console.run(command))
"""


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("program", [STARTING, WORKING])
def test_an_interruption_is_one_line_even_among_imports(program: str, name: str, code: int) -> None:
    with run_python(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("importing", "working")
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (code, "interrupted\n")
    assert ("put in order" in out) == (program is WORKING)


IN_ORDER = WORKING.replace("put in order", "in order").replace("    finally:", "    finally:\n        time.sleep(0.5)")


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_same_interruption_twice_at_once_counts_once(name: str) -> None:
    with run_python(IN_ORDER) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "working"
        for _ in range(3):
            process.send_signal(getattr(signal, name))
            time.sleep(0.05)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130 if name == "SIGINT" else 143, "interrupted\n")
    assert "in order" in out


FORCED = IN_ORDER.replace("sleep(0.5)", "sleep(60)").replace(
    "def command", "from realesrgan.cli import interrupts; interrupts.FORCE_AFTER_S = 0\ndef command"
)


@posix
def test_another_interruption_later_ends_the_process_at_once() -> None:
    with run_python(FORCED.replace("finally:\n", "finally:\n        print('waiting', flush=True)\n")) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "working"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().strip() == "waiting"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, "interrupted\n")


@posix
def test_work_that_does_not_notice_an_interruption_is_not_waited_for() -> None:
    program = FORCED.replace("console.started_up()", "console.started_up(lambda: 'left as it is, see `skip_existing`')")
    with run_python(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "working"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S / 2)
    assert (process.returncode, err) == (143, "left as it is, see --skip_existing\n")
    assert "in order" not in out


FILES = """
import os, sys
from realesrgan.cli import console
def command():
    console.say("a")
    with open("picture.bin", "wb", buffering=0) as file:
        file.write(b"picture")
        try:
            os.write(2, b"a message of a C library")
        except OSError:
            pass
    console.print_result("b")
    return 0
sys.exit(console.run(command))
"""


@posix
@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", ">/dev/full 2>&1"])
def test_closed_and_full_streams_change_neither_files_nor_exit_code(tmp_path: Path, redirection: str) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    (tmp_path / "program.py").write_text(FILES)
    ran = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' program.py {redirection}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "picture.bin").read_bytes() == b"picture"
    assert b"Traceback" not in ran.stderr + ran.stdout
    assert b"Exception ignored" not in ran.stderr
