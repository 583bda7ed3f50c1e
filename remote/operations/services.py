"""Services: found or started on the target, waited for, reached from here; what was saved in one."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from remote.agent.environments.uv import LOCK_FILES
from remote.errors import ConfigError, ConnectError, JobError, TargetError
from remote.files import copy_new, sha256, write_atomic
from remote.job.messages.jobs import LogAnswer, LogRequest
from remote.job.messages.services import (
    FetchRequest,
    SavedRequest,
    ServiceAddress,
    ServiceAnswer,
    ServiceRequest,
)
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE
from remote.job.spec import JobSpec
from remote.job.status import ENDED, PREPARING, QUEUED, JobStatus
from remote.operations import tunnel
from remote.operations.job_request import describe
from remote.operations.jobs import RETRY_LIMIT, RETRY_PAUSE
from remote.operations.run_options import RunOptions
from remote.output import say, say_log
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

#: The toolkit itself, which every `inv` here runs.
TOOLKIT = "remote"


def find(server: TargetSession, service: Service) -> ServiceAnswer:
    """The service, where it goes on there; an answer without an id where it doesn't."""
    if not server.facts.ours:
        # The first push is still to make the target.
        return ServiceAnswer()
    return server.agent.call(ServiceRequest(key=server.key, service=service.name))


def refuse_other(
    service: Service, running: ServiceAnswer, place: Mapping[str, str], asked: RunOptions
) -> None:
    """Raises JobError where the one that goes on isn't as it is wished; what wasn't said fits."""
    wished: dict[str, Any] = {**place}
    if asked.gpus is not None:
        wished["gpus"] = asked.gpus
    actual = {name: getattr(running, name) for name in wished}
    differing = [f"{name} {actual[name]}" for name in wished if actual[name] != wished[name]]
    missing = sorted(set(asked.extras) - set(running.extras))
    differing += [f"no extra {extra}" for extra in missing]
    if differing:
        raise JobError(
            f"{service.title} goes on already, with {', '.join(differing)}.",
            f"End it first: inv remote-{service.name} --stop",
        )


def job_of(
    server: TargetSession, service: Service, place: Mapping[str, str], asked: RunOptions
) -> JobSpec:
    """What is asked of a service's job; `place` is where it looks, complete.

    The extra that brings the service's package is added where the lock file hasn't that anyway.
    """
    root, extras = server.project.root, set(asked.extras)
    lock = next((root / name for name in LOCK_FILES if (root / name).is_file()), None)
    if lock is not None and service.extra:
        lines = lock.read_text("utf-8", "replace").splitlines()
        named = (f"{service.package}==", f'name = "{service.package}"')
        if not any(line.startswith(named) for line in lines):
            extras.add(service.extra)
    options = replace(asked, gpus=asked.gpus or 0, extras=tuple(extras))
    return describe(server.project, ServicePage(service, place), {}, options=options)


def wait(server: TargetSession, service: Service, job: str) -> ServiceAddress:
    """Where the service answers; raises JobError. Its log is shown while it is being made ready."""
    offset, begun = 0, 0.0
    while True:
        text, last = _log(server, LogRequest(key=server.key, job=job, offset=offset))
        offset, status = last.offset, _status(last)
        if status.state in (QUEUED, PREPARING):
            say_log(text)
        elif status.state in ENDED:
            words, _ = _log(server, LogRequest(key=server.key, job=job, tail=TAIL))
            cause = f" ({status.cause})" if status.cause else ""
            raise JobError(
                f"{service.title} did not start: {status.state}{cause}."
                f" Its last words:\n{words.strip()}",
                f"All of them: inv remote-logs {job}",
            )
        answer = server.agent.call(ServiceRequest(key=server.key, job=job))
        if answer.address:
            return answer.address
        if not begun and status.state not in (QUEUED, PREPARING):
            say_log(f"{service.title} starts ...\n")
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


def port_for(server: TargetSession, service: Service) -> int:
    """A port of this machine, the same each time where that is free.

    So a page that was open goes on when a tunnel is opened again.
    """
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
    opened: Callable[[], None],
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


def saved(server: TargetSession) -> list[str]:
    """The project's files that were saved in JupyterLab there and differ from here, or lack here."""

    def differs(file: Path, digest: str) -> bool:
        try:
            return sha256(file) != digest
        except OSError:
            return True

    files = server.agent.call(SavedRequest(key=server.key)).files
    return [name for name, digest in files.items() if differs(server.project.root / name, digest)]


def may_come(name: str, root: Path) -> bool:
    """Whether a file of that name is taken from a server: it must lie in the project, and nothing
    that this machine runs by itself (tasks.py, Makefile, the toolkit, hidden files) comes."""
    parts = name.split("/")
    if os.path.isabs(name) or any(part in ("", "..") or part.startswith(".") for part in parts):
        return False
    if not (root / name).parent.resolve().is_relative_to(root.resolve()):
        return False
    if is_left_alone(name):
        return False
    return name.endswith(".ipynb") or len(parts) > 1 and parts[0] != TOOLKIT


def bring(server: TargetSession, names: list[str]) -> tuple[list[str], str]:
    """Bring these saved files here: their names, and the folder with the versions they replaced.

    Raises TargetError where what came isn't what was asked for.
    """
    root = server.project.root
    backup = f"{STATE}/backup/lab-{time.strftime('%Y%m%d-%H%M%S')}"
    with tempfile.TemporaryFile() as blob:
        request = FetchRequest(key=server.key, names=tuple(names))
        times = server.agent.call(request, blob=blob).times
        blob.seek(0)
        with zipfile.ZipFile(blob) as archive:
            for name in archive.namelist():
                if name not in names:
                    raise TargetError(f"The server sent {name!r}, which nobody asked for.")
                file = root / name
                if file.exists():
                    copy_new(file, root / backup / name, mode=0o644)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(file, archive.read(name))
                # rsync takes files of the same size and time for the same.
                os.utime(file, (times[name], times[name]))
    return sorted(times), backup if (root / backup).is_dir() else ""
