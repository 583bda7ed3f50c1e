"""Living with jobs: list, follow, wait, stop, remove."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from remote.errors import ConnectError, JobError
from remote.files import read_json
from remote.job.messages.gpus import GpusAnswer, GpusRequest
from remote.job.messages.jobs import (
    AttachRequest,
    JobsAnswer,
    JobsRequest,
    JobSummary,
    LogAnswer,
    LogRequest,
    StopAnswer,
    StopRequest,
)
from remote.job.messages.old_jobs import (
    DifferencesAnswer,
    DifferencesRequest,
    PruneAnswer,
    PruneRequest,
    RemoveAnswer,
    RemoveRequest,
)
from remote.job.messages.target import SecretRequest
from remote.job.status import JobStatus
from remote.output import say, write_raw
from remote.session import TargetSession
from remote.transport.ssh import Ssh

#: How long a broken connection is tried again before following gives up, in seconds.
RETRY_LIMIT = 600.0

#: Seconds between two tries.
RETRY_PAUSE = 3.0


@dataclass(frozen=True)
class Followed:
    """A job whose log was followed, and what had become of it by then."""

    id: str
    status: JobStatus


def follow(
    server: TargetSession,
    job: str,
    *,
    wait: bool,
    tail: int = 0,
    since: int = 0,
    silent: bool = False,
) -> Followed:
    """Print the job's log as it grows, with `wait` until it has ended.

    `tail` lines or `since` seconds are shown of what is there, with `silent` nothing. A connection
    that breaks is opened again, and the log goes on where it broke off.
    """
    request = LogRequest(key=server.key, job=job, wait=wait, tail=tail, since=since, silent=silent)
    answered = False

    def take(piece: LogAnswer) -> None:
        nonlocal answered, request
        answered = True
        if piece.text:
            write_raw(piece.text)
        request = request.replace(job=piece.id, offset=piece.offset, tail=0, since=0)

    broken = 0.0
    while True:
        try:
            answer = server.agent.call(request, on_answer=take)
            if answer.status is not None:
                return Followed(answer.id, answer.status)
            raise ConnectError("The connection broke while the log was followed.")
        except ConnectError as error:
            broken = broken or time.monotonic()
            if not answered or time.monotonic() - broken > RETRY_LIMIT:
                raise
            say(f"{error.message} Trying again ...")
            time.sleep(RETRY_PAUSE)


def listing(server: TargetSession, *, newest: int = 0, jobs: Sequence[str] = ()) -> JobsAnswer:
    """Jobs of the target; `newest` above 0 leaves out ended ones that are older."""
    return server.agent.call(JobsRequest(key=server.key, newest=newest, jobs=tuple(jobs)))


def find_job(server: TargetSession, job: str) -> JobSummary:
    """The one job that is named; raises JobError."""
    jobs = listing(server, jobs=[job]).jobs
    if not jobs:
        raise JobError(f"The server told nothing of the job {job}.")
    return jobs[0]


def stop(server: TargetSession, job: str) -> StopAnswer:
    """End a job; without a name, the one that goes on."""
    return server.agent.call(StopRequest(key=server.key, job=job))


def differences(server: TargetSession, first: str, second: str) -> DifferencesAnswer:
    """How two jobs of a target differ."""
    return server.agent.call(DifferencesRequest(key=server.key, before=first, after=second))


def remove(server: TargetSession, jobs: Sequence[str], *, force: bool) -> RemoveAnswer:
    """Remove jobs that were pulled (with `force` any)."""
    request = RemoveRequest(key=server.key, jobs=tuple(jobs), pulled=_pulled(server), force=force)
    return server.agent.call(request)


def prune(server: TargetSession, older: int, *, force: bool, dry_run: bool) -> PruneAnswer:
    """Remove what was of no use for `older` seconds, or tell what that would be."""
    # Only here: most commands of jobs start faster without.
    from remote.operations.job_request import requires_python

    request = PruneRequest(
        key=server.key,
        older=older,
        pulled=_pulled(server),
        force=force,
        dry_run=dry_run,
        python=requires_python(server.project.root),
    )
    return server.agent.call(request)


def _pulled(server: TargetSession) -> tuple[str, ...]:
    return tuple(read_json(server.pulled) or ())


def gpus(server: TargetSession) -> GpusAnswer:
    """The server's GPUs, who holds them, and who waits."""
    leases = server.project.settings.get("REMOTE_LEASES", "")
    return server.agent.call(GpusRequest(key=server.key, leases=leases))


def secret(server: TargetSession, name: str = "", value: str | None = None) -> tuple[str, ...]:
    """Set a secret of the target (None: forget it); without a name nothing changes.

    The names of all that are set come back.
    """
    return server.agent.call(SecretRequest(key=server.key, name=name, value=value)).names


def attach_argv(server: TargetSession, job: str) -> list[str]:
    """argv that shows it, as the server says; raises JobError where the job has none."""
    argv = server.agent.call(AttachRequest(key=server.key, job=job)).argv
    return list(argv) if server.ssh is None else over_ssh(server.ssh, argv)


def over_ssh(ssh: Ssh, argv: Sequence[str]) -> list[str]:
    """argv that runs the words there, with a terminal. Each is plain: the message's class says so.

    Inside quotes all login shells read such words alike; csh takes a leading `=` for its own else.
    """
    command = " ".join(f"'{word}'" for word in argv)
    # ssh obeys the first setting of a name that it finds.
    return ["ssh", "-o", "RequestTTY=force", *ssh.command(command)[1:]]
