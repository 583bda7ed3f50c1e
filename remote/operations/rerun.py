"""Run a job again, exactly as it was, on its target or on another; tell two jobs apart."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote.operations.submit import Submitted, hand_over
from remote.session import Server
from remote.transport import rsync, rsync_args

#: What a job is given anew each time.
FRESH = (
    "id",
    "root",
    "host",
    "submitted",
    "submitter",
    "mlflow_run",
    "secrets",
    "after",
    "again",
    "incoming",
)


def rerun(source: Server, job: str, *, target: Server, say: Callable[[str], None]) -> Submitted:
    """Start once more what `job` of `source` was: the same code, parameters and environment."""
    found = source.call("account", job=job)
    asked = {name: value for name, value in found["job"].items() if name not in FRESH}
    original = found["job"]["id"]
    asked["tags"] = {**asked.get("tags", {}), "remote.rerun_of": original}
    if target.target.key == source.target.key:
        asked["again"] = original
    else:
        asked["incoming"] = carry(source, original, target)
    return hand_over(target, asked, diff=found["diff"], say=say)


def carry(source: Server, job: str, target: Server) -> str:
    """Bring a job's code from one target to another by way of this machine; its name there."""
    target.prepare()
    name = secrets.token_hex(8)
    known = rsync.dialect()
    root = source.project.root
    with tempfile.TemporaryDirectory(prefix="rerun-") as folder:
        code = Path(folder)
        fetch = rsync_args.snapshot_argv(source.remote, job=job, destination=code)
        rsync.run(fetch, source.remote, cwd=root, title="fetching the code", known=known)
        send = rsync_args.incoming_argv(target.remote, name=name)
        rsync.run(send, target.remote, cwd=code, title="sending the code", known=known)
    return name


def differences(server: Server, first: str, second: str) -> dict[str, Any]:
    """How two jobs of a target differ; see `remote.agent.jobs.diff.differences`."""
    return server.call("differences", jobs=[first, second])
