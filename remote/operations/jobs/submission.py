"""A job that the server is asked to start: what that needs is brought, and silence is asked about."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from remote.errors import ConnectError, JobError, NoAnswer, ProtocolError, RemoteError
from remote.job.messages.jobs import EMPTY_STORE, PUSH, JobsRequest, SubmitAnswer, SubmitRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.status import ENDED
from remote.operations.jobs import bootstrap
from remote.operations.jobs.pending import PendingSubmission
from remote.output import say
from remote.session import TargetSession

#: What this machine can bring to a server whose jobs need it, by what the agent asks for.
BROUGHT: dict[str, Callable[[TargetSession, Machine], None]] = {
    "uv": bootstrap.bring_uv,
    EMPTY_STORE: bootstrap.bring_store,
}

#: Seconds between two looks at an environment that is made through this machine.
LOOK = 1.0

UNKNOWN = "Whether the job started is unknown."
REPEAT = "Type the same command again: it finds that out, and starts no second job."


@dataclass
class Submission:
    """One job that is asked for, as often as it takes. `command` is what was typed, as JSON."""

    server: TargetSession
    command: Any
    way: contextlib.ExitStack
    """What holds the way to the internet through this machine, where the server needs that."""
    request: str = ""
    """Its id, where its caller remembers that."""
    is_proxied: bool = False

    @functools.cached_property
    def pending(self) -> PendingSubmission:
        """What the server knows it by."""
        return PendingSubmission.of(self.server.project.state, self.command)

    def ask(
        self, job: JobSpec, diff: str, *, push: str = "", more: Sequence[JobSpec] = ()
    ) -> SubmitAnswer:
        """Ask for the job; `diff` is what its code has beyond its commit, `push` what brought it,
        `more` are further jobs on the same code.

        What the server needs for that is brought there. Raises RemoteError.
        """
        target = str(self.server.target)
        request = SubmitRequest(
            key=self.server.key,
            job=job.replace(target=target),
            more=tuple(each.replace(target=target) for each in more),
            request=self.request or self.pending.id,
            push=push,
            launcher=self.server.settings.launcher,
            launcher_setting=self.server.socket,
            diff=diff,
            offline=bootstrap.wants_proxy(self.server),
        )
        answer, brought = self._call(request), set[str]()
        while answer.need in BROUGHT and answer.platform:
            needed = answer.need.replace("-", " ")
            if answer.need in brought:
                raise JobError(
                    f"The {needed} that was copied to the server can't be used there.",
                    "Install there by hand: uv into ~/.local/bin, or mlflow with what the job needs.",
                )
            say(f"copying {needed} to the server (once)")
            BROUGHT[answer.need](self.server, answer.platform)
            brought.add(answer.need)
            answer = self._call(request)
        if answer.need == "proxy":
            address = self.way.enter_context(bootstrap.through_this_machine(self.server))
            answer = self._call(request.replace(proxy=address))
            self.is_proxied = True
        if not answer.id and answer.need != PUSH:
            raise ProtocolError("The server names no job that it has started.", REPEAT)
        return answer

    def _call(self, request: SubmitRequest) -> SubmitAnswer:
        """Send it; where no answer comes, once more, which tells what became of the first."""
        try:
            return self._answered(request)
        except NoAnswer as error:
            say(f"{error.message} Checking whether it started ...")
        return self._answered(request)

    def _answered(self, request: SubmitRequest) -> SubmitAnswer:
        try:
            answer = self.server.agent.call(request)
        except ConnectError as error:
            raise type(error)(f"{error.message} {UNKNOWN}", REPEAT) from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"\nInterrupted. {UNKNOWN}\n{REPEAT}") from None
        except RemoteError:
            # It was refused, and there is no job.
            self._forget()
            raise
        if answer.id:
            self._forget()
        return answer

    def _forget(self) -> None:
        if not self.request:
            self.pending.answered()

    def attend(self, answer: SubmitAnswer) -> SubmitAnswer:
        """Tell of a job that had started before, and stay as long as one needs this machine."""
        if answer.repeated:
            say(
                f"{answer.id} had started, and its answer was lost: no second job was started.",
                "For a second one, type the same command again.",
            )
        if answer.launcher not in ("", "tmux"):
            say(
                f"{answer.launcher} runs it, which the server has;"
                ' in tmux: launcher = "tmux" in [tool.remote] of pyproject.toml'
            )
        if not self.is_proxied:
            return answer
        say(
            f"{answer.id}: its environment is made through this machine, which has to stay connected for that."
        )
        look = JobsRequest(key=self.server.key, jobs=(answer.id,))
        while True:
            jobs = self.server.agent.call(look).jobs
            if not jobs:
                raise ProtocolError(
                    f"The server reported nothing about {answer.id}, which it started."
                )
            summary = jobs[0]
            if summary.environment_ready or summary.state in ENDED:
                return answer.replace(environment_ready=True)
            time.sleep(LOOK)
