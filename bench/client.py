"""The records' part of a pull: `python -m bench.client PROJECT TARGET [STORE]`.

The agent is a process of its own on this machine, asked as one behind SSH is: what it sends is
compressed. Artifacts aren't fetched. What came of it is printed as JSON, with the memory that the
two processes took.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

from remote.config import Project
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import merging
from remote.operations.tracking.pull_records import ask, source_name
from remote.session import TargetSession
from remote.target import Target
from remote.tracking import merge
from remote.transport.ssh import Ssh


def pull(root: Path, target: str, store: str) -> merge.MergeSummary:
    """Merge a store of the target's (its own where none is named) into the project's."""
    project = Project(root, {})
    server = TargetSession.of(project, Target.parse(target))
    to = destination(project)
    base = to.base(source_name(server, store))
    with merging(project) as folder:
        asked = ask(replace(server, ssh=Ssh("unused")), folder, store=store)
        summary = merge.merge(
            asked.file,
            store=to.location,
            artifact_root=to.artifacts,
            base=base,
            source=str(server.target),
        )
    merge.mark_fetched(base, summary.artifacts)
    return summary


def _megabytes(who: int) -> float:
    """The most memory that this process, or its largest child, ever took."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    done = pull(Path(sys.argv[1]), sys.argv[2], "".join(sys.argv[3:]))
    result = {
        "metric_rows": done.metric_rows,
        "agent": _megabytes(resource.RUSAGE_CHILDREN),
        "client": _megabytes(resource.RUSAGE_SELF),
    }
    print(json.dumps(result))
