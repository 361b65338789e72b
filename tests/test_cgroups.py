"""What a container allows, read from control groups in the layout of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from realesrgan.engine import cgroups, device

GB = 1 << 30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def lay_out(root: Path, **files: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name.replace("__", ".")).write_text(content + "\n")


def belong_to(root: Path, *lines: str) -> None:
    (root / "membership").write_text("".join(f"{line}\n" for line in lines))


def test_without_control_groups_nothing_is_limited(group: Path) -> None:
    assert (cgroups.memory_left_bytes(), cgroups.processors()) == (None, None)


def test_a_group_without_limits_limits_nothing(group: Path) -> None:
    belong_to(group, "0::/job")
    lay_out(group / "job", memory__max="max", memory__current="5", cpu__max="max 100000")
    assert (cgroups.memory_left_bytes(), cgroups.processors()) == (None, None)


def test_version_two_says_what_is_left_and_counts_idle_file_pages_as_free(group: Path) -> None:
    belong_to(group, "0::/job")
    stat = f"anon {GB}\ninactive_file {GB // 2}"
    lay_out(group / "job", memory__max=f"{4 * GB}", memory__current=f"{2 * GB}", memory__stat=stat)
    lay_out(group / "job", cpu__max="150000 100000")
    assert cgroups.memory_left_bytes() == 4 * GB - 2 * GB + GB // 2
    assert cgroups.processors() == 1.5


def test_version_one_is_understood_too(group: Path) -> None:
    belong_to(group, "4:memory:/job", "2:cpu,cpuacct:/job", "0::/")
    stat = f"inactive_file 1\ntotal_inactive_file {GB}"
    lay_out(group / "memory/job", memory__limit_in_bytes=f"{3 * GB}", memory__usage_in_bytes=f"{2 * GB}")
    lay_out(group / "memory/job", memory__stat=stat)
    lay_out(group / "cpu,cpuacct/job", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert cgroups.memory_left_bytes() == 2 * GB
    assert cgroups.processors() == 0.5


def test_version_one_without_limits_limits_nothing(group: Path) -> None:
    belong_to(group, "4:memory:/", "1:cpu:/")
    lay_out(group / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="7")
    lay_out(group / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert (cgroups.memory_left_bytes(), cgroups.processors()) == (None, None)


def test_the_tightest_of_all_groups_above_counts(group: Path) -> None:
    belong_to(group, "0::/outer/inner")
    lay_out(group / "outer/inner", memory__max=f"{8 * GB}", memory__current="0", cpu__max="400000 100000")
    lay_out(group / "outer", memory__max=f"{2 * GB}", memory__current=f"{GB}", cpu__max="200000 100000")
    assert cgroups.memory_left_bytes() == GB
    assert cgroups.processors() == 2


def test_inside_a_container_the_root_is_the_group_whatever_it_is_called_outside(group: Path) -> None:
    belong_to(group, "0::/docker/abc")
    lay_out(group, memory__max=f"{GB}", memory__current="0")
    assert cgroups.memory_left_bytes() == GB


def test_more_used_than_allowed_leaves_nothing(group: Path) -> None:
    belong_to(group, "0::/")
    lay_out(group, memory__max="100", memory__current="200")
    assert cgroups.memory_left_bytes() == 0


def test_free_memory_is_never_more_than_the_container_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "memory_left_bytes", lambda: 12345)
    assert device.free_memory_bytes(device.torch.device("cpu")) == 12345
    monkeypatch.setattr(cgroups, "memory_left_bytes", lambda: None)
    assert device.free_memory_bytes(device.torch.device("cpu")) > 12345


@pytest.mark.parametrize(("allowed", "busy"), [(None, 8), (0.5, 1), (2.5, 3), (20.0, 8)])
def test_no_more_threads_are_kept_busy_than_there_are_processors_for(
    allowed: float | None, busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "processors", lambda: allowed)
    monkeypatch.setattr(cgroups.os, "cpu_count", lambda: 8)
    assert cgroups.processor_count() == busy
