"""Submit: what is asked of a job, handed to the agent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from remote import git
from remote.errors import JobError
from remote.job.messages.submit import SubmitRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.state import ENDED
from remote.operations.bootstrap import bring_uv
from remote.operations.jobs import find_job
from remote.session import TargetSession

#: What this machine can bring to a server whose environments need it, by what the agent asks for.
PROGRAMS: dict[str, Callable[[TargetSession, Machine], None]] = {"uv": bring_uv.bring}

#: Seconds between two looks at an environment that is made through this machine.
LOOK = 1.0


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted. Without `environment_ready` its environment is made first."""

    id: str
    environment_ready: bool


def submit(server: TargetSession, job: JobSpec, *, say: Callable[[str], None]) -> Submitted:
    """Start the job on the server, after what it needs for that was brought there."""
    diff = git.uncommitted(server.project.root) if job.git.dirty else ""
    return hand_over(server, job, diff=diff, say=say)


def hand_over(
    server: TargetSession, job: JobSpec, *, diff: str, say: Callable[[str], None]
) -> Submitted:
    """Start a job of which all is known, also the code's difference from its commit."""
    from remote.operations.bootstrap import laptop_proxy

    request = SubmitRequest(
        key=server.key,
        job=replace(job, target=str(server.target)),
        launcher_setting=server.socket,
        diff=diff,
        offline=laptop_proxy.wanted(server),
    )
    answer = server.agent.call(request)
    if answer.need in PROGRAMS and answer.platform:
        say(f"bringing {answer.need} to the server (once)")
        PROGRAMS[answer.need](server, answer.platform)
        answer = server.agent.call(request)
    with contextlib.ExitStack() as stack:
        if answer.need == "proxy":
            address = stack.enter_context(laptop_proxy.through_this_machine(server))
            answer = server.agent.call(replace(request, proxy=address))
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
