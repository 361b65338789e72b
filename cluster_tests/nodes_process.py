"""Runs the nodes of a Ray cluster; a program of its own. Knows no tests.

Each line on stdin is a node to add, as JSON: environment variables, processors, bytes of its object store. Each is
answered by a line on stdout: the address of the head, the node's id, the pid of its raylet. The end of stdin ends all.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import ray._private.ray_constants as ray_constants
from ray.cluster_utils import Cluster


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is no answer
    cluster = Cluster(shutdown_at_exit=True)
    for line in sys.stdin:
        wish = json.loads(line)
        os.environ.update(wish["environment"])
        node = cluster.add_node(
            num_cpus=wish["processors"], object_store_memory=wish["store_bytes"], include_dashboard=False
        )
        print(json.dumps({"address": cluster.address, "node": node.node_id, "raylet": _raylet(node)}), file=answers)
        answers.flush()
    cluster.shutdown()


def _raylet(node: Any) -> int:
    (info,) = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET]
    return int(info.process.pid)


main()
