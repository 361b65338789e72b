"""All workers of a job compute alike, in the best way that all of them have; others are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster import (
    Call,
    PlayedCluster,
    heard,
    node,
    own_facts,
)
from test_cluster_crew import all_of, begun, joined, lines

from realesrgan.cluster.alike import Level, common_level
from realesrgan.cluster.nodes import NodeFacts
from realesrgan.loading import Settings, Setup, check

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True), "realesr-animevideov3")


def computing_otherwise(call: Call, result: Any) -> Any:
    return replace(result, digest=1) if call.method == "prepare" else result


@pytest.mark.parametrize("is_late", [False, True])
def test_a_worker_that_computes_otherwise_is_left_out(setup: Setup, tmp_path: Path, is_late: bool) -> None:
    other = node("b")
    other.after = computing_otherwise
    cluster = PlayedCluster(node("a"), node("c"), *([] if is_late else [other]))
    with begun(cluster, setup, tmp_path) as session:
        events = heard(session, all_of(2, "all compute alike"))
        if is_late:
            cluster.played.append(other)
        if "b is left out" not in "".join(lines(events)):
            events += heard(session, lambda found: "b is left out" in "".join(lines(found)))
    assert sorted(joined(events)) == ["a", "c"]
    (line,) = [line for line in lines(events) if "left out" in line]
    assert "it computes otherwise than the others" in line
    assert "`mixed` would use it" in line


def test_with_mixed_workers_that_compute_otherwise_take_part(setup: Setup, tmp_path: Path) -> None:
    other = node("b")
    other.after = computing_otherwise
    with begun(PlayedCluster(node("a"), other), setup, tmp_path, mixed=True) as session:
        events = heard(session, all_of(2, "each computes in its own best way"))
    assert sorted(joined(events)) == ["a", "b"]


def facts(*variants: str, bf16: bool = False, cuda: bool = False) -> NodeFacts:
    return replace(own_facts(), variants=variants, has_bf16=bf16, has_cuda=cuda)  # type: ignore[arg-type]


AMX = facts("amx", "avx512", "avx2", bf16=True)


AVX512 = facts("avx512", "avx2")


ZEN4 = facts("avx512", "avx2", bf16=True)


AVX2 = facts("avx2")


BARE = facts()


BARE_BF16 = facts(bf16=True)


@pytest.mark.parametrize(
    ("settings", "kernels", "nodes", "level"),
    [
        ({}, True, [AMX, AMX], Level(False, "amx", False)),
        ({"fp32": True}, True, [AMX, AMX], Level(False, "native", True)),
        ({}, True, [AMX, AVX512], Level(False, "native", True)),
        ({}, True, [AVX2, AMX, AVX512], Level(False, "native", True)),
        ({}, True, [AVX2, AVX512], Level(False, "native", True)),
        ({}, True, [ZEN4, ZEN4], Level(False, "native", False)),
        ({}, True, [ZEN4, AMX], Level(False, "native", True)),
        ({}, True, [AMX, BARE], Level(False, "torch", True)),
        ({}, True, [AMX, BARE_BF16], Level(False, "torch", False)),
        ({}, False, [AMX, AMX], Level(False, "torch", False)),
        ({}, False, [AMX, AVX2], Level(False, "torch", True)),
        ({"engine": "torch"}, True, [AVX2, AVX2], Level(False, "torch", True)),
        ({"engine": "avx2"}, True, [AMX, AVX512], Level(False, "avx2", True)),
        ({"engine": "amx"}, True, [AMX, AVX512], Level(False, "amx", False)),
        ({"engine": "native"}, True, [AMX, AVX512], Level(False, "native", True)),
        ({"engine": "native"}, True, [BARE, AVX2], Level(False, "native", True)),
        ({"engine": "native"}, False, [AVX2, AVX2], Level(False, "native", True)),
    ],
)
def test_all_compute_in_the_best_way_that_all_have(
    settings: dict[str, Any], kernels: bool, nodes: list[NodeFacts], level: Level
) -> None:
    assert common_level(Settings(**settings), kernels, [(one, False) for one in nodes]) == level
    assert common_level(Settings(**settings), kernels, [(one, False) for one in nodes[::-1]]) == level


def test_where_there_are_gpus_they_alone_compute() -> None:
    with_gpu = facts("avx2", cuda=True)
    level = common_level(Settings(), True, [(AMX, False), (with_gpu, True)])
    assert level.on_gpus
    assert (level.suits(with_gpu), level.suits(AMX)) == (True, False)


def test_a_node_that_cannot_compute_as_asked_is_left_out(setup: Setup, tmp_path: Path) -> None:
    asked = replace(setup, settings=replace(setup.settings, engine="avx2"))
    with begun(PlayedCluster(node("a", variants=("avx2",)), node("b", variants=())), asked, tmp_path) as session:
        events = heard(session, all_of(1, "b is left out: it cannot compute by the compiled kernels for AVX2"))
    assert joined(events) == ["a"]
