"""Services: found or started on the target, waited for, and reached from here."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from remote.agent.environments.lock_file import LOCK_FILES
from remote.errors import ConfigError, ConnectError, JobError
from remote.job.messages.live_job import LogAnswer, LogRequest
from remote.job.messages.services import ServiceAddress, ServiceAnswer, ServiceRequest
from remote.job.spec import JobSpec
from remote.job.state import ENDED, PREPARING, QUEUED
from remote.job.status import JobStatus
from remote.operations import tunnel
from remote.operations.job_request import describe
from remote.operations.jobs import RETRY_LIMIT, RETRY_PAUSE
from remote.operations.run_options import RunOptions
from remote.programs.program import LAB, TENSORBOARD, UI, Service, ServicePage
from remote.session import TargetSession

__all__ = ["LAB", "TENSORBOARD", "UI", "Service"]

#: Seconds between two looks at a service that starts, and how long its program may take to.
LOOK = 0.3
START_LIMIT = 300.0

#: Lines of the log that tell why a service didn't start.
TAIL = 15

#: Where ports for tunnels begin, and how many of them there are: below those that systems hand out.
FIRST_PORT = 20000
PORTS = 10000


@dataclass(frozen=True)
class Wish:
    """What is asked of a service; what was not said is None or empty."""

    place: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    gpus: int | None = None
    timeout: int = 0


def find(server: TargetSession, service: Service) -> ServiceAnswer:
    """The service, where it goes on there; an answer without an id where it doesn't."""
    return server.agent.call(ServiceRequest(key=server.key, service=service.name))


def refuse_other(service: Service, running: ServiceAnswer, wish: Wish) -> None:
    """Raises JobError where the one that goes on isn't as it is wished."""
    wished: dict[str, Any] = {**wish.place}
    if wish.gpus is not None:
        wished["gpus"] = wish.gpus
    actual = {name: getattr(running, name) for name in wished}
    differing = [f"{name} {actual[name]}" for name in wished if actual[name] != wished[name]]
    missing = sorted(set(wish.extras) - set(running.extras))
    differing += [f"no extra {extra}" for extra in missing]
    if differing:
        raise JobError(
            f"{service.title} goes on already, with {', '.join(differing)}.",
            f"End it first: inv remote-{service.name} --stop",
        )


def job_of(
    server: TargetSession, service: Service, wish: Wish, place: Mapping[str, str]
) -> JobSpec:
    """What is asked of a service's job; `place` is where it looks, complete."""
    extras = {*wish.extras, *_own_extra(server, service)}
    options = RunOptions(gpus=wish.gpus or 0, timeout=wish.timeout, extras=tuple(extras))
    return describe(server.project, ServicePage(service, place), {}, options=options)


def _own_extra(server: TargetSession, service: Service) -> Sequence[str]:
    """The extra that brings the service's package, unless the lock file has that anyway."""
    root = server.project.root
    lock = next((root / name for name in LOCK_FILES if (root / name).is_file()), None)
    if lock is None or not service.extra:
        return ()
    lines = lock.read_text("utf-8", "replace").splitlines()
    named = (f"{service.package}==", f'name = "{service.package}"')
    return () if any(line.startswith(named) for line in lines) else (service.extra,)


def wait(
    server: TargetSession, service: Service, job: str, *, out: Callable[[str], None]
) -> ServiceAddress:
    """Where the service answers; raises JobError. Its log is shown while it is being made ready."""
    offset, begun = 0, 0.0
    while True:
        text, last = _log(server, LogRequest(key=server.key, job=job, offset=offset))
        offset, status = last.offset, _status(last)
        if status.state in (QUEUED, PREPARING):
            out(text)
        elif status.state in ENDED:
            raise _ended(server, service, job, status)
        answer = server.agent.call(ServiceRequest(key=server.key, job=job))
        if answer.address:
            return answer.address
        if not begun and status.state not in (QUEUED, PREPARING):
            out(f"{service.title} starts ...\n")
            begun = time.monotonic()
        if begun and time.monotonic() - begun > START_LIMIT:
            raise JobError(f"{service.title} doesn't answer.", f"inv remote-logs {job}")
        time.sleep(LOOK)


def _log(server: TargetSession, request: LogRequest) -> tuple[str, LogAnswer]:
    """The text of a log that isn't waited for, and the last answer."""
    pieces: list[str] = []
    last = server.agent.call(request, on_answer=lambda answer: pieces.append(answer.text))
    return "".join(pieces), last


def _status(last: LogAnswer) -> JobStatus:
    if last.status is None:
        raise ConnectError("The connection to the server broke.")
    return last.status


def _ended(server: TargetSession, service: Service, job: str, status: JobStatus) -> JobError:
    text, _ = _log(server, LogRequest(key=server.key, job=job, tail=TAIL))
    cause = f" ({status.cause})" if status.cause else ""
    return JobError(
        f"{service.title} did not start: {status.state}{cause}. Its last words:\n{text.strip()}",
        f"All of them: inv remote-logs {job}",
    )


def port_for(server: TargetSession, service: Service, asked: int) -> int:
    """The port of this machine: the asked one, else the same each time where that is free.

    So a page that was open goes on when a tunnel is opened again.
    """
    if asked:
        return asked
    name = f"{server.target.key} {service.name}"
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return tunnel.free_port(FIRST_PORT + number % PORTS)


def page(address: ServiceAddress, port: int) -> str:
    """What a browser opens, where `port` of this machine leads to the service."""
    token = f"?{urlencode({'token': address.token})}" if address.token else ""
    return f"http://{tunnel.HERE}:{port}{address.path}{token}"


def hold(
    server: TargetSession,
    job: str,
    address: ServiceAddress,
    port: int,
    *,
    opened: Callable[[], None],
    say: Callable[[str], None],
) -> JobStatus:
    """Keep a tunnel to the service until that ends; its status comes back.

    `opened` is called once the service was reached. A tunnel that breaks later is opened again.
    """
    reached = broken = 0.0
    while True:
        try:
            with tunnel.tunnel(server, address, port):
                if not reached:
                    tunnel.check(server, port)
                    opened()
                elif broken:
                    say("The tunnel is open again.")
                reached, broken = time.monotonic(), 0.0
                return _until_its_end(server, job, port)
        except (ConnectError, ConfigError) as error:
            if not reached:
                raise
            broken = broken or time.monotonic()
            if time.monotonic() - broken > RETRY_LIMIT:
                raise
            say(f"{error.message} Trying again ...")
            time.sleep(RETRY_PAUSE)


def _until_its_end(server: TargetSession, job: str, port: int) -> JobStatus:
    """Wait for the service; raises ConnectError where the tunnel breaks before.

    The wait may have a login of its own, and outlive the tunnel's: with each sign of life that
    comes, there is a look whether the port is still listened on.
    """

    def look(answer: LogAnswer) -> None:
        if tunnel.is_free(port):
            raise ConnectError("The tunnel broke.")

    request = LogRequest(key=server.key, job=job, wait=True, silent=True)
    return _status(server.agent.call(request, on_answer=look))


def folder_of(text: str) -> str:
    """A folder that JupyterLab is to show: below the target's root, or absolute."""
    folder = os.path.normpath(text)
    if folder == ".." or folder.startswith("../") or "\0" in folder:
        raise JobError(f"{text!r} is outside of the target.", "Give its whole path there: /...")
    return folder
