"""Services: found or started on the target, waited for, reached from here."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from remote.agent.environments.uv import LOCK_FILES
from remote.errors import JobError
from remote.job.messages import jobs, services
from remote.job.spec import Job
from remote.job.status import ENDED, PREPARING, QUEUED
from remote.operations import tunnel
from remote.operations.jobs.run_options import ServiceOptions, StartOptions
from remote.operations.jobs.submit import describe, push_and_submit
from remote.operations.saved_files import saved
from remote.output import plural, print_lines, say, say_log
from remote.programs.program import LAB, SHELL, TENSORBOARD, UI, Service, ServicePage
from remote.session import TargetSession

__all__ = ["LAB", "SHELL", "TENSORBOARD", "UI", "Service"]

#: Seconds between two looks at a service that starts, and how long its program may take to.
LOOK = 0.3
START_LIMIT = 300.0

#: Lines of the log that tell why a service didn't start.
TAIL = 15

#: Where ports for tunnels begin, and how many of them there are: below those that systems hand out.
FIRST_PORT = 20000
PORTS = 10000

#: Pieces of a service's log that are kept while it is waited for.
PIECES = 200


class ServiceEnded(JobError):
    """It has ended before it answered."""


def serve(server: TargetSession, service: Service, options: ServiceOptions) -> None:
    """Find or start a service, and hold a tunnel to it until Ctrl-C, or until it ends."""
    if options.port and not options.stop and not tunnel.is_free(options.port):
        raise JobError(
            f"Port {options.port} of this machine is in use.",
            "Leave --port out, or choose another one.",
        )
    job = find_or_start(server, service, options)
    if not job:
        return
    try:
        address = wait(server, service, job)
    except KeyboardInterrupt:
        say("", f"{service.title} is still starting: inv remote-{service.name} opens it.")
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
            say("No browser could be opened: open this address in one.")
        say(f"Ctrl-C closes the tunnel; {service.title} keeps running.")

    try:
        status = tunnel.hold(server, job, address, port, opened)
        say(f"{service.title} has ended: {status.state}")
    except KeyboardInterrupt:
        say("", f"{service.title} keeps running: inv remote-{service.name} opens it again.")
        say(f"Stop it: inv remote-{service.name} --stop")
    _say_saved(server)


def find_or_start(
    server: TargetSession,
    service: Service,
    options: StartOptions,
    arguments: tuple[str, ...] = (),
) -> str:
    """The id of the job that a service is, which is started where none goes on; with `--stop` it is
    ended, and none comes back. `arguments` are the words of a new one. Raises JobError."""
    running = services.ServiceAnswer()
    # Where nothing was pushed yet, none goes on.
    if server.facts.ours:
        running = server.agent.call(services.ServiceRequest(key=server.key, service=service.name))
    if options.stop:
        _stop(server, service, running.job)
        return ""
    if running.job is None:
        return _start(server, service, options, arguments)
    _refuse_other(service, running.job, options)
    if arguments and arguments != running.job.arguments:
        raise JobError(
            f"{service.title} is running already.",
            f"Stop it first: inv remote-{service.name} --stop",
        )
    return running.job.id


def _stop(server: TargetSession, service: Service, job: Job | None) -> None:
    if job is None:
        raise JobError(f"{service.title} is not running.", f"Start it: inv remote-{service.name}")
    for ended in server.agent.call(jobs.StopRequest(key=server.key, jobs=(job.id,))).stopped:
        print_lines(f"{ended.id} {ended.problem or ended.status.state}")
    _say_saved(server)


def _refuse_other(service: Service, running: Job, options: StartOptions) -> None:
    """Raises JobError where the one that goes on isn't as it is wished; what wasn't said fits."""
    asked, wished = options.asked, dict[str, Any](options.said)
    if asked.gpus is not None:
        wished.update(asked.leased)
    actual = {name: getattr(running, name) for name in wished}
    differing = [f"{name} {actual[name]}" for name in wished if actual[name] != wished[name]]
    missing = sorted(set(asked.extras) - set(running.extras))
    differing += [f"no extra {extra}" for extra in missing]
    if differing:
        raise JobError(
            f"{service.title} is running already, with {', '.join(differing)}.",
            f"Stop it first: inv remote-{service.name} --stop",
        )


def _start(
    server: TargetSession, service: Service, options: StartOptions, arguments: tuple[str, ...]
) -> str:
    """Push, and start the service; its job's id.

    The extra that brings the service's package is added where the lock file hasn't that anyway.
    Raises JobError where the push would replace what was saved there.
    """
    root, asked, place = server.project.root, options.asked, {**options.place, **options.said}
    extras = set(asked.extras)
    lock = next((root / name for name in LOCK_FILES if (root / name).is_file()), None)
    if lock is not None and service.extra and server.settings.has_extras:
        lines = lock.read_text("utf-8", "replace").splitlines()
        named = (f"{service.package}==", f'name = "{service.package}"')
        if not any(line.startswith(named) for line in lines):
            extras.add(service.extra)
    asked = replace(asked, gpus=asked.gpus or 0, extras=tuple(extras))
    job = describe(server.project, ServicePage(service, place, arguments), {}, options=asked)
    names = saved(server) if server.facts.ours else []
    if names:
        raise JobError(
            f"Saved in JupyterLab, and not on this machine: {', '.join(names)}.",
            "Copy it: inv remote-lab --bring. Or discard it: make sync-push",
        )
    if service == LAB and asked.gpus:
        leased = plural(int(asked.gpus), "GPU") if asked.gpus >= 1 else f"{asked.gpus:g} of a GPU"
        say(f"It leases {leased} until it ends: inv remote-lab --stop")
    elif service == LAB:
        say("It leases no GPU; --gpus 1 does, while it runs.")
    return push_and_submit(server, job).id


def wait(server: TargetSession, service: Service, job: str) -> services.ServiceAddress:
    """Where the service answers; raises JobError. Its log is shown while it is being made ready."""
    offset, begun, waiting = 0, 0.0, ""
    while True:
        text, last = _log(server, jobs.LogRequest(key=server.key, job=job, offset=offset))
        offset, status = last.offset, tunnel.status_of(last)
        # One that has no worker yet says itself nothing in its log.
        if status.waiting and status.worker is None and status.waiting != waiting:
            waiting = status.waiting
            say(waiting)
        if status.state in (QUEUED, PREPARING):
            say_log(text)
        elif status.state in ENDED:
            text, _ = _log(server, jobs.LogRequest(key=server.key, job=job, tail=TAIL))
            words = "\n".join(text.strip().split("\n")[-TAIL:])
            raise ServiceEnded(
                f"{service.title} did not start: {status.in_words}."
                f" The end of its log:\n{words}",
                f"All of it: inv remote-logs {job}",
            )
        answer = server.agent.call(services.ServiceRequest(key=server.key, job=job))
        if answer.address:
            return answer.address
        if not begun and status.state not in (QUEUED, PREPARING):
            say_log(f"{service.title} starts ...\n")
            begun = time.monotonic()
        if begun and time.monotonic() - begun > START_LIMIT:
            raise JobError(f"{service.title} doesn't answer.", f"Its log: inv remote-logs {job}")
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
    name = f"{server.key} {service.name}"
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return tunnel.free_port(FIRST_PORT + number % PORTS)


def page_of(address: services.ServiceAddress, port: int) -> str:
    """What a browser opens, where `port` of this machine leads to the service."""
    token = f"?{urlencode({'token': address.token})}" if address.token else ""
    return f"http://{tunnel.HERE}:{port}{address.path}{token}"


def _say_saved(server: TargetSession) -> None:
    names = saved(server)
    if names:
        say(f"Saved on the server, and not on this machine: {', '.join(names)}")
        say("A push would replace that. Copy it first: inv remote-lab --bring")
