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
from remote.job.state import ENDED, PREPARING, QUEUED
from remote.operations.job_request import Command, describe
from remote.operations.run_options import RunOptions
from remote.operations.services import tunnel
from remote.operations.submit import submit
from remote.session import Server

#: Seconds between two looks at a service that starts, and how long its program may take to.
LOOK = 0.3
START_LIMIT = 300.0

#: How long a broken connection is tried again, in seconds, and how often.
RETRY_LIMIT = 600.0
RETRY_PAUSE = 3.0

#: Lines of the log that tell why a service didn't start.
TAIL = 15

#: Where ports for tunnels begin, and how many of them there are: below those that systems hand out.
FIRST_PORT = 20000
PORTS = 10000


@dataclass(frozen=True)
class Service:
    """What can be served. `package` is what its environment must hold: where the lock file doesn't
    name it, the `extra` is installed too."""

    name: str
    title: str
    package: str
    extra: str = ""


LAB = Service("lab", "JupyterLab", "jupyterlab", "lab")
TENSORBOARD = Service("tensorboard", "TensorBoard", "tensorboard", "torch")
UI = Service("ui", "MLflow's UI", "mlflow")


@dataclass(frozen=True)
class Wish:
    """What is asked of a service; what was not said is None or empty."""

    place: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    gpus: int | None = None
    timeout: int = 0


def find(server: Server, service: Service) -> dict[str, Any]:
    """The service, where it goes on there; see `remote.agent.services.serving.look`."""
    return server.call("service", service=service.name)


def refuse_other(service: Service, found: Mapping[str, Any], wish: Wish) -> None:
    """Raises JobError where the one that goes on isn't as it is wished."""
    asked = found["asked"]
    wished: dict[str, Any] = {**wish.place}
    if wish.gpus is not None:
        wished["gpus"] = wish.gpus
    differing = [f"{name} {asked[name]}" for name, value in wished.items() if asked[name] != value]
    missing = sorted(set(wish.extras) - set(asked["extras"]))
    differing += [f"no extra {extra}" for extra in missing]
    if differing:
        raise JobError(
            f"{service.title} goes on already, with {', '.join(differing)}.",
            f"End it first: inv remote-{service.name} --stop",
        )


def job_of(
    server: Server, service: Service, wish: Wish, place: Mapping[str, str]
) -> dict[str, Any]:
    """What job.json says of a service; `place` is where it looks, complete."""
    extras = (*wish.extras, *_own_extra(server, service))
    options = RunOptions(gpus=wish.gpus or 0, timeout=wish.timeout, extras=tuple(set(extras)))
    job = describe(server.project, Command((service.name,)), {}, options=options)
    kind = {"kind": "service", "service": service.name, "source": service.title}
    return {**job, **kind, **place, "arguments": [], "live": True, "record": False}


def _own_extra(server: Server, service: Service) -> Sequence[str]:
    """The extra that brings the service's package, unless the lock file has that anyway."""
    root = server.project.root
    lock = next((root / name for name in LOCK_FILES if (root / name).is_file()), None)
    if lock is None or not service.extra:
        return ()
    lines = lock.read_text("utf-8", "replace").splitlines()
    named = (f"{service.package}==", f'name = "{service.package}"')
    return () if any(line.startswith(named) for line in lines) else (service.extra,)


def start(server: Server, job: Mapping[str, Any], *, say: Callable[[str], None]) -> str:
    """The id of the service's job; the project was pushed."""
    return submit(server, job, say=say).id


def wait(
    server: Server, service: Service, job: str, *, out: Callable[[str], None]
) -> dict[str, Any]:
    """Where the service answers; raises JobError. Its log is shown while it is being made ready."""
    offset, begun = 0, 0.0
    while True:
        answers: list[dict[str, Any]] = []
        last = server.call("log", job=job, offset=offset, wait=False, on_answer=answers.append)
        offset, state = last["offset"], last["status"]["state"]
        if state in (QUEUED, PREPARING):
            out("".join(answer.get("text", "") for answer in answers))
        elif state in ENDED:
            raise _ended(server, service, job, last["status"])
        at: dict[str, Any] | None = server.call("service", job=job)["at"]
        if at:
            return at
        if not begun and state not in (QUEUED, PREPARING):
            out(f"{service.title} starts ...\n")
            begun = time.monotonic()
        if begun and time.monotonic() - begun > START_LIMIT:
            raise JobError(f"{service.title} doesn't answer.", f"inv remote-logs {job}")
        time.sleep(LOOK)


def _ended(server: Server, service: Service, job: str, status: Mapping[str, Any]) -> JobError:
    answers: list[dict[str, Any]] = []
    server.call("log", job=job, offset=0, wait=False, tail=TAIL, on_answer=answers.append)
    log = "".join(answer.get("text", "") for answer in answers).strip()
    cause = f" ({status['cause']})" if status.get("cause") else ""
    return JobError(
        f"{service.title} did not start: {status['state']}{cause}. Its last words:\n{log}",
        f"All of them: inv remote-logs {job}",
    )


def port_for(server: Server, service: Service, asked: int) -> int:
    """The port of this machine: the asked one, else the same each time where that is free.

    So a page that was open goes on when a tunnel is opened again.
    """
    if asked:
        return asked
    name = f"{server.target.key} {service.name}"
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return tunnel.free_port(FIRST_PORT + number % PORTS)


def address(at: Mapping[str, Any], port: int) -> str:
    """What a browser opens."""
    token = f"?{urlencode({'token': at['token']})}" if "token" in at else ""
    return f"http://{tunnel.HERE}:{port}{at['path']}{token}"


def hold(
    server: Server,
    job: str,
    at: Mapping[str, Any],
    port: int,
    *,
    opened: Callable[[], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Keep a tunnel to the service until that ends; its status comes back.

    `opened` is called once the service was reached. A tunnel that breaks later is opened again.
    """
    reached = broken = 0.0
    while True:
        try:
            with tunnel.tunnel(server, at, port):
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


def _until_its_end(server: Server, job: str, port: int) -> dict[str, Any]:
    """Wait for the service; raises ConnectError where the tunnel breaks before.

    The wait may have a login of its own, and outlive the tunnel's: with each sign of life that
    comes, there is a look whether the port is still listened on.
    """

    def look(answer: dict[str, Any]) -> None:
        if tunnel.is_free(port):
            raise ConnectError("The tunnel broke.")

    answer = server.call("log", job=job, offset=0, wait=True, silent=True, on_answer=look)
    if "status" not in answer:
        raise ConnectError("The connection to the server broke.")
    status: dict[str, Any] = answer["status"]
    return status


def folder_of(text: str) -> str:
    """A folder that JupyterLab is to show: below the target's root, or absolute."""
    folder = os.path.normpath(text)
    if folder == ".." or folder.startswith("../") or "\0" in folder:
        raise JobError(f"{text!r} is outside of the target.", "Give its whole path there: /...")
    return folder
