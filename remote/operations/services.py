"""Services: found or started on the target, waited for, reached from here; what was saved in one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from remote.agent.environments.uv import LOCK_FILES
from remote.errors import JobError, TargetError
from remote.files import copy_new, sha256, write_atomic
from remote.job.messages import jobs, services
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE
from remote.job.spec import Job
from remote.job.status import ENDED, PREPARING, QUEUED
from remote.operations import tunnel
from remote.operations.project_outputs import declared_outputs
from remote.operations.room import check_room
from remote.operations.run_options import ServiceOptions
from remote.operations.submit import describe, push_and_submit
from remote.output import plural, print_lines, say, say_log, size
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

#: Bytes of a file that is brought, and of all of them as they are sent.
LONGEST_SAVED, LONGEST_ARCHIVE = 256 << 20, 4 << 30

COPY = "Copy them by hand."

#: Pieces of a service's log that are kept while it is waited for.
PIECES = 200

#: The toolkit itself, which every `inv` here runs.
TOOLKIT = "remote"


def serve(server: TargetSession, service: Service, options: ServiceOptions) -> None:
    """Find or start a service, and hold a tunnel to it until Ctrl-C, or until it ends."""
    running = services.ServiceAnswer()
    # Where nothing was pushed yet, none goes on.
    if server.facts.ours:
        running = server.agent.call(services.ServiceRequest(key=server.key, service=service.name))
    if options.stop:
        _stop(server, service, running.job)
        return
    if options.port and not tunnel.is_free(options.port):
        raise JobError(f"Port {options.port} of this machine is in use.", "Choose another one.")
    if running.job:
        _refuse_other(service, running.job, options)
    job = running.job.id if running.job else _start(server, service, options)
    try:
        address = _wait(server, service, job)
    except KeyboardInterrupt:
        say("", f"{service.title} is still being started: inv remote-{service.name} goes to it.")
        return
    if options.background:
        print_lines(job)
        say(f"open: inv remote-{service.name}", f"stop: inv remote-{service.name} --stop")
        return
    port = options.port or port_for(server, service)
    page = page_of(address, port)

    def opened() -> None:
        print_lines(page)
        if not options.no_browser and not tunnel.show(page):
            say("No browser could be opened here: open this address in one.")
        say(f"Ctrl-C closes the tunnel; {service.title} goes on there.")

    try:
        status = tunnel.hold(server, job, address, port, opened)
        say(f"{service.title} has ended: {status.state}")
    except KeyboardInterrupt:
        say("", f"{service.title} goes on there: inv remote-{service.name} opens it again.")
        say(f"End it: inv remote-{service.name} --stop")
    _say_saved(server)


def _stop(server: TargetSession, service: Service, job: Job | None) -> None:
    if job is None:
        raise JobError(f"{service.title} doesn't go on there.")
    answer = server.agent.call(jobs.StopRequest(key=server.key, job=job.id))
    print_lines(f"{answer.id} {answer.status.state}")
    _say_saved(server)


def _refuse_other(service: Service, running: Job, options: ServiceOptions) -> None:
    """Raises JobError where the one that goes on isn't as it is wished; what wasn't said fits."""
    asked, wished = options.asked, dict[str, Any](options.said)
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


def _start(server: TargetSession, service: Service, options: ServiceOptions) -> str:
    """Push, and start the service; its job's id.

    The extra that brings the service's package is added where the lock file hasn't that anyway.
    Raises JobError where the push would replace what was saved there.
    """
    root, asked, place = server.project.root, options.asked, {**options.place, **options.said}
    extras = set(asked.extras)
    lock = next((root / name for name in LOCK_FILES if (root / name).is_file()), None)
    if lock is not None and service.extra:
        lines = lock.read_text("utf-8", "replace").splitlines()
        named = (f"{service.package}==", f'name = "{service.package}"')
        if not any(line.startswith(named) for line in lines):
            extras.add(service.extra)
    asked = replace(asked, gpus=asked.gpus or 0, extras=tuple(extras))
    job = describe(server.project, ServicePage(service, place), {}, options=asked)
    names = saved(server) if server.facts.ours else []
    if names:
        raise JobError(
            f"Saved in JupyterLab there, and not here: {', '.join(names)}.",
            "Bring it: inv remote-lab --bring. Or let it go: make sync-push",
        )
    if service == LAB and asked.gpus:
        say(f"It leases {plural(asked.gpus, 'GPU')} until it ends: inv remote-lab --stop")
    elif service == LAB:
        say("It leases no GPU; --gpus 1 does, for as long as it goes on.")
    return push_and_submit(server, job).id


def _wait(server: TargetSession, service: Service, job: str) -> services.ServiceAddress:
    """Where the service answers; raises JobError. Its log is shown while it is being made ready."""
    offset, begun = 0, 0.0
    while True:
        text, last = _log(server, jobs.LogRequest(key=server.key, job=job, offset=offset))
        offset, status = last.offset, tunnel.status_of(last)
        if status.state in (QUEUED, PREPARING):
            say_log(text)
        elif status.state in ENDED:
            text, _ = _log(server, jobs.LogRequest(key=server.key, job=job, tail=TAIL))
            words = "\n".join(text.strip().split("\n")[-TAIL:])
            raise JobError(
                f"{service.title} did not start: {status.in_words}." f" Its last words:\n{words}",
                f"All of them: inv remote-logs {job}",
            )
        answer = server.agent.call(services.ServiceRequest(key=server.key, job=job))
        if answer.address:
            return answer.address
        if not begun and status.state not in (QUEUED, PREPARING):
            say_log(f"{service.title} starts ...\n")
            begun = time.monotonic()
        if begun and time.monotonic() - begun > START_LIMIT:
            raise JobError(f"{service.title} doesn't answer.", f"inv remote-logs {job}")
        time.sleep(LOOK)


def _log(server: TargetSession, request: jobs.LogRequest) -> tuple[str, jobs.LogAnswer]:
    """The text of a log that isn't waited for, and the last answer."""
    pieces = deque[str](maxlen=PIECES)
    last = server.agent.call(request, on_answer=lambda answer: pieces.append(answer.text))
    return "".join(pieces), last


def port_for(server: TargetSession, service: Service) -> int:
    """A port of this machine, the same each time where that is free.

    So a page that was open goes on when a tunnel is opened again.
    """
    name = f"{server.target.key} {service.name}"
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return tunnel.free_port(FIRST_PORT + number % PORTS)


def page_of(address: services.ServiceAddress, port: int) -> str:
    """What a browser opens, where `port` of this machine leads to the service."""
    token = f"?{urlencode({'token': address.token})}" if address.token else ""
    return f"http://{tunnel.HERE}:{port}{address.path}{token}"


def saved(server: TargetSession) -> list[str]:
    """The project's files that were saved in JupyterLab there and differ from here, or lack here."""
    there = server.agent.call(services.SavedRequest(key=server.key)).files
    names = []
    for name, digest in there.items():
        with contextlib.suppress(OSError):
            if sha256(server.project.root / name) == digest:
                continue
        names.append(name)
    return names


def _say_saved(server: TargetSession) -> None:
    names = saved(server)
    if names:
        say(f"Saved there, and not here: {', '.join(names)}")
        say("A push would replace that: inv remote-lab --bring brings it first.")


def bring_and_tell(server: TargetSession) -> None:
    """Bring here what was saved there, but for what this machine would run."""
    names, root = saved(server), server.project.root
    outputs = declared_outputs(root)
    coming = [name for name in names if may_come(name, root, outputs)]
    for name in sorted(set(names) - set(coming)):
        say(f"{name} is not brought: it is for this machine to run. Copy it by hand.")
    if not coming:
        say("Nothing was saved in JupyterLab there that is to come here.")
        return
    brought, backup = bring(server, coming)
    print_lines(*brought)
    if backup:
        say(f"{plural(len(brought), 'file')} came; versions of here are kept in {backup}/")


def may_come(name: str, root: Path, outputs: Sequence[str]) -> bool:
    """Whether a file of that name is taken from a server: it must lie in the project, and nothing
    that this machine runs by itself (tasks.py, Makefile, the toolkit, hidden files) comes. What the
    project declares as its jobs' `outputs` comes by a pull."""
    parts = name.split("/")
    if os.path.isabs(name) or any(part in ("", "..") or part.startswith(".") for part in parts):
        return False
    if not (root / name).parent.resolve().is_relative_to(root.resolve()):
        return False
    if is_left_alone(name, outputs):
        return False
    return name.endswith(".ipynb") or len(parts) > 1 and parts[0] != TOOLKIT


def bring(server: TargetSession, names: list[str]) -> tuple[list[str], str]:
    """Bring these saved files here: their names, and the folder with the versions they replaced.

    Raises TargetError where what came isn't what was asked for.
    """
    root = server.project.root
    backup = f"{STATE}/backup/lab-{time.strftime('%Y%m%d-%H%M%S')}"
    with tempfile.TemporaryFile() as blob:
        request = services.FetchRequest(key=server.key, names=tuple(names))

        def take(piece: bytes) -> None:
            if blob.tell() + len(piece) > LONGEST_ARCHIVE:
                raise TargetError(f"The saved files take more than {size(LONGEST_ARCHIVE)}.", COPY)
            blob.write(piece)

        times = server.agent.call(request, on_blob=take).times
        wanted = set(names).intersection(times)
        for name, content in _unzipped(blob, root):
            if name not in wanted:
                raise TargetError(f"The server sent {name!r}, which nobody asked for.")
            file = root / name
            if file.exists():
                copy_new(file, root / backup / name, mode=0o644)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, content)
            # rsync takes files of the same size and time for the same.
            os.utime(file, (times[name], times[name]))
    return sorted(times), backup if (root / backup).is_dir() else ""


def _unzipped(blob: IO[bytes], root: Path) -> Iterator[tuple[str, bytes]]:
    """The files in a zip file of the server's; raises TargetError."""
    try:
        with zipfile.ZipFile(blob) as archive:
            check_room(root, sum(entry.file_size for entry in archive.infolist()), "of saved files")
            for entry in archive.infolist():
                if entry.file_size > LONGEST_SAVED:
                    raise TargetError(
                        f"{entry.filename} is longer than {size(LONGEST_SAVED)}.", COPY
                    )
                with archive.open(entry) as file:
                    # A few bytes may unpack to any number.
                    yield entry.filename, file.read(LONGEST_SAVED)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise TargetError(f"What the server sent can't be unpacked: {error}.") from None
