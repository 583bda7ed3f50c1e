"""Submit: what is asked of a job, handed to the agent; a job is run again the same way."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from remote.errors import JobError
from remote.job.messages.old_jobs import AccountRequest, DifferencesAnswer, DifferencesRequest
from remote.job.messages.submit import SubmitRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.state import ENDED
from remote.operations import bootstrap, job_request
from remote.operations.jobs import find_job
from remote.session import TargetSession
from remote.transport import rsync, rsync_args

#: What this machine can bring to a server whose environments need it, by what the agent asks for.
PROGRAMS: dict[str, Callable[[TargetSession, Machine], None]] = {"uv": bootstrap.bring_uv}

#: Seconds between two looks at an environment that is made through this machine.
LOOK = 1.0


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted. Without `environment_ready` its environment is made first."""

    id: str
    environment_ready: bool


def submit(server: TargetSession, job: JobSpec, *, say: Callable[[str], None]) -> Submitted:
    """Start the job on the server, after what it needs for that was brought there."""
    diff = job_request.uncommitted(server.project.root) if job.git.dirty else ""
    return hand_over(server, job, diff=diff, say=say)


def hand_over(
    server: TargetSession, job: JobSpec, *, diff: str, say: Callable[[str], None]
) -> Submitted:
    """Start a job of which all is known, also the code's difference from its commit."""
    request = SubmitRequest(
        key=server.key,
        job=job.replace(target=str(server.target)),
        launcher_setting=server.socket,
        diff=diff,
        offline=bootstrap.wants_proxy(server),
    )
    answer = server.agent.call(request)
    if answer.need in PROGRAMS and answer.platform:
        say(f"bringing {answer.need} to the server (once)")
        PROGRAMS[answer.need](server, answer.platform)
        answer = server.agent.call(request)
    if answer.need == "proxy":
        with bootstrap.through_this_machine(server) as address:
            answer = server.agent.call(request.replace(proxy=address))
            _stay(server, answer.id, say)
            return Submitted(answer.id, True)
    if not answer.id:
        raise JobError(f"{answer.need} was brought to the server, but does not run there.")
    return Submitted(answer.id, answer.environment_ready)


def _stay(server: TargetSession, job: str, say: Callable[[str], None]) -> None:
    """Wait until the environment of a job is there."""
    say(f"{job}: its environment is made through this machine, which has to stay for that.")
    while True:
        summary = find_job(server, job)
        if summary.environment_ready or summary.state in ENDED:
            return
        time.sleep(LOOK)


def rerun(
    source: TargetSession, job: str, *, target: TargetSession, say: Callable[[str], None]
) -> Submitted:
    """Start once more what `job` of `source` was: the same code, parameters and environment."""
    account = source.agent.call(AccountRequest(key=source.key, job=job))
    original = account.job.id
    spec = account.job.spec.replace(
        tags={**account.job.tags, "remote.rerun_of": original},
        after="",
        again="",
        incoming="",
    )
    if target.key == source.key:
        spec = spec.replace(again=original)
    else:
        spec = spec.replace(incoming=carry(source, original, target))
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
