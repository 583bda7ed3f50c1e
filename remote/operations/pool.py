"""Several targets at once: each is asked the same, and a dead one costs its own limit and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from remote.config import Project
from remote.errors import LoginError, RemoteError
from remote.next_steps import complete
from remote.output import Progress, plural, saying_of
from remote.rpc.client import AgentBug
from remote.session import TargetSession
from remote.transport import process

Answer = TypeVar("Answer")

#: How many hosts are reached at once: sshd, also that of a jump host, drops logins from the eleventh
#: on that are under way (MaxStartups, sshd_config(5)).
AT_ONCE = 10

#: Seconds that a host has for its login, and again for an answer.
LIMIT = 15.0


@dataclass(frozen=True)
class Reply(Generic[Answer]):
    """What one target said: an answer, or the error that came in its place."""

    server: TargetSession
    answer: Answer | None = None
    error: RemoteError | None = None

    @property
    def words(self) -> str:
        """The error on one line, whose commands name its target."""
        text = " ".join(str(self.error).split("\n")) if self.error else ""
        return complete(text, self.server.target.label)


def sessions(project: Project, text: str) -> list[TargetSession]:
    """The targets that a group, `all` or `any` stands for, each place once."""
    every = (TargetSession.of(project, target) for target in project.targets(text))
    places: dict[str, TargetSession] = {}
    for server in every:
        places.setdefault(server.key, server)
    return [*places.values()]


def ask_all(
    servers: Sequence[TargetSession],
    question: Callable[[TargetSession], Answer],
    *,
    limit: float | None = LIMIT,
) -> list[Reply[Answer]]:
    """What all of them say, in their order."""
    replies = {reply.server.key: reply for reply in as_they_come(servers, question, limit=limit)}
    return [replies[server.key] for server in servers]


def as_they_come(
    servers: Sequence[TargetSession],
    question: Callable[[TargetSession], Answer],
    *,
    limit: float | None = LIMIT,
    silent: bool = False,
) -> Iterator[Reply[Answer]]:
    """What each of them says, the first one first. `limit` is in seconds, None for what may take long.

    Those behind one login are asked one after another. Logins that need their user come last, where
    there is a terminal to ask on; a `silent` caller has it for himself.
    """
    groups: dict[str, list[TargetSession]] = {}
    for server in servers:
        groups.setdefault(server.ssh.login if server.ssh else server.key, []).append(server)
    refused: list[TargetSession] = []
    if servers:
        # It reads all of the agent's files, once for all threads.
        _ = servers[0].agent.name
    title = f"asking {plural(len(servers), 'server')}"
    with Progress(title, alone=True) as progress, ThreadPoolExecutor(AT_ONCE) as executor:
        progress.shown &= not silent
        progress.of(done := 0, len(servers))
        ask = partial(_ask, question=question, limit=limit, is_named=len(servers) > 1)
        tasks = [executor.submit(ask, group) for group in groups.values()]
        try:
            for task in as_completed(tasks):
                for reply in task.result():
                    progress.of(done := done + 1, len(servers))
                    is_refused = isinstance(reply.error, LoginError) and not silent
                    if is_refused and sys.stdin.isatty():
                        refused.append(reply.server)
                    else:
                        yield reply
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    for server in refused:
        yield from _ask([server], question, limit, is_named=len(servers) > 1, may_ask=True)


def _ask(
    servers: Sequence[TargetSession],
    question: Callable[[TargetSession], Answer],
    limit: float | None,
    *,
    is_named: bool,
    may_ask: bool = False,
) -> list[Reply[Answer]]:
    """Ask targets of one login, one after another; where that fails, all of them get its error.

    What is said meanwhile begins with the target's name where it `is_named`.
    """
    replies = []
    try:
        _log_in(servers[0], may_ask=may_ask)
    except RemoteError as error:
        return [Reply(server, error=error) for server in servers]
    for server in servers:
        with saying_of(server.target.label if is_named else ""):
            replies.append(_reply(server, question, limit))
    return replies


def _log_in(server: TargetSession, *, may_ask: bool) -> None:
    if server.ssh is None:
        return
    if may_ask:
        server.ssh.connect()
        return
    with process.limited(LIMIT):
        server.ssh.connect(may_ask=False)


def _reply(
    server: TargetSession, question: Callable[[TargetSession], Answer], limit: float | None
) -> Reply[Answer]:
    try:
        with process.limited(limit):
            return Reply(server, question(server))
    except RemoteError as error:
        return Reply(server, error=error)
    except AgentBug as bug:
        # One server's bug is no reason to lose what the others say.
        last = str(bug).strip().rpartition("\n")[2]
        hint = f"For details: --target {server.target.label}"
        return Reply(server, error=RemoteError(f"The server's agent failed: {last}", hint))
