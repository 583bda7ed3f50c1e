"""Targets as a tool reaches them, with nobody at a terminal, and what is answered for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from remote.answers import data_of, error_of
from remote.api import Target
from remote.config import find_project
from remote.errors import ConnectError
from remote.job.fields import NAME
from remote.next_steps import complete
from remote.operations.pool import Reply, sessions
from remote.operations.sweep_record import Sweep, find_sweep
from remote.session import TargetSession
from remote.tasks.exits import exit_of
from remote.transport import process

#: Seconds for an answer that is one look.
LIMIT = 60.0

Answer = dict[str, Any]

_ADDRESS = "the address or name of a target"
Address = Annotated[
    str, Field(max_length=NAME, description=f"{_ADDRESS} (default: the project's usual one)")
]
Targets = Annotated[
    str,
    Field(
        max_length=NAME,
        description=f"{_ADDRESS}, a group, or `all` (default: the project's usual one)",
    ),
]
JOB_ID = "its id, a unique part of it, or `last`"
JobName = Annotated[str, Field(min_length=1, max_length=NAME, description=f"a job: {JOB_ID}")]
SweepName = Annotated[
    str, Field(min_length=1, max_length=NAME, description=f"a job: {JOB_ID}; or a sweep: its id")
]
DryRun = Annotated[bool, Field(description="only report what would be done")]


def reach(address: str) -> Target:
    """The target, logged in to; raises RemoteError."""
    target = Target(address)
    if target.session.ssh:
        # Nobody sits at a terminal whom ssh could ask.
        with process.limited(LIMIT):
            target.session.ssh.connect(may_ask=False)
    return target


def pool(text: str) -> list[TargetSession]:
    """The targets that a group, `all` or `any` stands for; none where one target is meant."""
    project = find_project()
    return sessions(project, text) if project.is_pool(text) else []


def sweep_of(name: str) -> Sweep | None:
    """The sweep of that name that was started from here; None where there is none."""
    return find_sweep(find_project().state, name)


def refuse_silence(replies: Sequence[Reply[Any]]) -> None:
    """Raises RemoteError where no target gave an answer, with what each said instead."""
    if any(reply.answer for reply in replies):
        return
    if len(replies) == 1 and replies[0].error:
        raise replies[0].error
    lines = [f"{reply.server.target.label}: {reply.words}" for reply in replies]
    raise ConnectError("None of them gave an answer.", "\n".join(lines))


def of_all(replies: Sequence[Reply[Any]], **more: Any) -> Answer:
    """What targets answered."""
    return {"error": None, **data_of({**more, "targets": replies})}


def of_sweep(sweep: Sweep, replies: Sequence[Reply[Any]], **more: Any) -> Answer:
    """What was answered for the jobs of a sweep."""
    return of_all(replies, sweep=sweep.id, **more, jobs=sweep.jobs)


def error_in(target: str, end: Callable[[], None]) -> dict[str, str] | None:
    """The error by which the command ends, in its words; None where it doesn't."""
    try:
        end()
    except Exception as error:
        exit = exit_of(error)
        if exit is None:
            raise
        return error_of(complete(exit.message or "", target))
    return None
