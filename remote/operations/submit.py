"""Submit: what is asked of a job, handed to the agent; run again the same way, or run here."""

from __future__ import annotations

import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.errors import JobError
from remote.job.messages.jobs import SubmitRequest
from remote.job.messages.old_jobs import AccountRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.status import ENDED, LOST, JobStatus
from remote.operations import bootstrap, job_request
from remote.operations.jobs import find_job
from remote.output import say
from remote.rpc.client import Agent
from remote.rpc.wire import CACHE, LocalWire
from remote.session import TargetSession
from remote.transport import process, rsync, rsync_args

#: What this machine can bring to a server whose environments need it, by what the agent asks for.
PROGRAMS: dict[str, Callable[[TargetSession, Machine], None]] = {"uv": bootstrap.bring_uv}

#: Seconds between two looks at an environment that is made through this machine.
LOOK = 1.0


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted. Without `environment_ready` its environment is made first."""

    id: str
    environment_ready: bool


def submit(server: TargetSession, job: JobSpec) -> Submitted:
    """Start the job on the server, after what it needs for that was brought there."""
    diff = job_request.uncommitted(server.project.root) if job.git.dirty else ""
    return _hand_over(server, job, diff)


def rerun(source: TargetSession, job: str, *, target: TargetSession) -> Submitted:
    """Start once more what `job` of `source` was: the same code, parameters and environment."""
    account = source.agent.call(AccountRequest(key=source.key, job=job))
    original, is_there = account.job.id, target.key == source.key
    spec = account.job.spec.replace(
        tags={**account.job.tags, "remote.rerun_of": original},
        after="",
        again=original if is_there else "",
        incoming="" if is_there else _carry(source, original, target),
    )
    return _hand_over(target, spec, account.diff)


def _carry(source: TargetSession, job: str, target: TargetSession) -> str:
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


def _hand_over(server: TargetSession, job: JobSpec, diff: str) -> Submitted:
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
            say(
                f"{answer.id}: its environment is made through this machine,"
                " which has to stay for that."
            )
            summary = find_job(server, answer.id)
            while not summary.environment_ready and summary.state not in ENDED:
                time.sleep(LOOK)
                summary = find_job(server, answer.id)
        return Submitted(answer.id, True)
    if not answer.id:
        raise JobError(f"{answer.need} was brought to the server, but does not run there.")
    return Submitted(answer.id, answer.environment_ready)


def run_here(project: Project, job: JobSpec) -> tuple[str, int]:
    """Run the job in this terminal, to its end, the way a target would; its state and exit code."""
    # Only here: jobs on a target start faster without.
    from remote.agent.jobs.submit import create, write_job

    paths = create(project.root, job.name)
    write_job(paths, job.replace(target=platform.node(), interpreter=sys.executable))
    agent = Agent(LocalWire())
    file = Path.home() / CACHE / agent.name
    if not file.is_file():
        agent.bring()
    worker = process.start([sys.executable, str(file), "work-here", str(project.root), paths.id])
    while True:
        try:
            code = worker.wait()
            break
        except KeyboardInterrupt:
            # It reaches the worker too, which ends the job: that is waited for.
            continue
    status = JobStatus.from_file(paths.status)
    # A worker that was killed before its first word has written none.
    return status.state if status else LOST, code
