"""Run a job again, exactly as it was, on its target or on another; tell two jobs apart."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from remote.job.messages.old_jobs import AccountRequest, DifferencesAnswer, DifferencesRequest
from remote.operations.submit import Submitted, hand_over
from remote.session import TargetSession
from remote.transport import rsync, rsync_args


def rerun(
    source: TargetSession, job: str, *, target: TargetSession, say: Callable[[str], None]
) -> Submitted:
    """Start once more what `job` of `source` was: the same code, parameters and environment."""
    account = source.agent.call(AccountRequest(key=source.key, job=job))
    original = account.job.id
    spec = replace(
        account.job.spec,
        tags={**account.job.tags, "remote.rerun_of": original},
        after="",
        again="",
        incoming="",
    )
    if target.key == source.key:
        spec = replace(spec, again=original)
    else:
        spec = replace(spec, incoming=carry(source, original, target))
    return hand_over(target, spec, diff=account.diff, say=say)


def carry(source: TargetSession, job: str, target: TargetSession) -> str:
    """Bring a job's code from one target to another by way of this machine; its name there."""
    target.prepare()
    name = secrets.token_hex(8)
    dialect = rsync.dialect()
    root = source.project.root
    with tempfile.TemporaryDirectory(prefix="rerun-") as folder:
        code = Path(folder)
        fetch = rsync_args.snapshot_argv(source.remote, job=job, destination=code)
        rsync.run(fetch, source.remote, cwd=root, title="fetching the code", dialect=dialect)
        send = rsync_args.incoming_argv(target.remote, name=name)
        rsync.run(send, target.remote, cwd=code, title="sending the code", dialect=dialect)
    return name


def differences(server: TargetSession, first: str, second: str) -> DifferencesAnswer:
    """How two jobs of a target differ."""
    return server.agent.call(DifferencesRequest(key=server.key, before=first, after=second))
