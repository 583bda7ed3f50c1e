"""`inv remote-lab`, `remote-tensorboard`, `remote-ui`: pages that the target serves, opened here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invoke.context import Context

from remote.errors import JobError
from remote.operations.run_options import RunOptions
from remote.options import UnitError, count, option, seconds
from remote.output import plural, print_lines, say
from remote.tasks.declare import TARGET_HELP, command
from remote.tasks.sync import push_and_tell, server_of

if TYPE_CHECKING:
    from remote.job.messages.services import ServiceAddress
    from remote.operations.services import Service
    from remote.session import TargetSession

#: Where each service looks unless told. JupyterLab's folder holds new notebooks, which are a job's
#: own: no push touches them, each pull brings them.
PLACES = {
    "lab": {"folder": "data/results/lab"},
    "tensorboard": {"logdir": "logs"},
    "ui": {},
}


def port_number(text: str, flag: str) -> int:
    """A port of this machine; raises UnitError."""
    port = count(text, flag)
    if not 0 < port < 65536:
        raise UnitError(f"{flag} takes a number from 1 to 65535, not {port}.")
    return port


@dataclass(frozen=True)
class ServiceOptions:
    """The flags of all three: one row for each."""

    target: str = option("--target", TARGET_HELP)
    port: int = option(
        "--port",
        "the port of this machine (default: the same each time, if it is free)",
        0,
        parse=port_number,
    )
    no_browser: bool = option("--no-browser", "only print the address", False)
    background: bool = option("--background", "start it and return, without a tunnel", False)
    stop: bool = option("--stop", "end it", False)

    def __post_init__(self) -> None:
        if self.stop and (self.background or self.no_browser):
            raise JobError("--stop ends it: nothing else goes with that.")


@dataclass(frozen=True)
class LabOptions(ServiceOptions):
    """The flags of `remote-lab`."""

    folder: str = option(
        "--folder",
        f"the folder to begin in (default: {PLACES['lab']['folder']}); /... shows that one alone",
    )
    extras: tuple[str, ...] = option(
        "--extra",
        "a further extra of the lock file, such as torch; may come again",
        collect=tuple,
    )
    gpus: int | None = option(
        "--gpus",
        "how many GPUs to lease for as long as it goes on (default: none)",
        None,
        parse=count,
    )
    timeout: int = option("--timeout", "end it after this time, such as 8h", 0, parse=seconds)
    bring: bool = option(
        "--bring", "bring here what was saved in it among the project's files", False
    )


@dataclass(frozen=True)
class TensorboardOptions(ServiceOptions):
    """The flags of `remote-tensorboard`."""

    logdir: str = option(
        "--logdir", f"a folder of the target (default: {PLACES['tensorboard']['logdir']})"
    )


@command(options=LabOptions)
def remote_lab(c: Context, options: LabOptions = LabOptions()) -> None:
    """Open JupyterLab on the target, on its whole machine, through a tunnel.

    It goes on there when Ctrl-C closes the tunnel; inv remote-lab opens it again.
    """
    from remote.operations import services

    if options.bring:
        _bring(server_of(options.target))
        return
    place = {"folder": services.folder_of(options.folder)} if options.folder else {}
    asked = RunOptions(gpus=options.gpus, timeout=options.timeout, extras=options.extras)
    _serve(services.LAB, options, place, asked)


@command(options=TensorboardOptions)
def remote_tensorboard(c: Context, options: TensorboardOptions = TensorboardOptions()) -> None:
    """Open TensorBoard on the target's logs, through a tunnel."""
    from remote.operations import services

    _serve(services.TENSORBOARD, options, {"logdir": options.logdir} if options.logdir else {})


@command(options=ServiceOptions)
def remote_ui(c: Context, options: ServiceOptions = ServiceOptions()) -> None:
    """Open mlflow ui on the target's own records, through a tunnel."""
    from remote.operations import services

    _serve(services.UI, options, {})


def _serve(
    service: Service,
    options: ServiceOptions,
    place: Mapping[str, str],
    asked: RunOptions = RunOptions(),
) -> None:
    """Find or start a service, and stay with it as the options say; `place` is what was typed."""
    from remote.operations import services, tunnel

    server = server_of(options.target)
    running = services.find(server, service)
    if options.stop:
        _stop(server, service, running.id)
        return
    if options.port and not tunnel.is_free(options.port):
        raise JobError(f"Port {options.port} of this machine is in use.", "Choose another one.")
    if running.id:
        services.refuse_other(service, running, place, asked)
    job = running.id or _start(server, service, place, asked)
    try:
        address = services.wait(server, service, job)
    except KeyboardInterrupt:
        say("", f"{service.title} is still being started: inv remote-{service.name} goes to it.")
        return
    if options.background:
        print_lines(job)
        say(f"open: inv remote-{service.name}")
        say(f"stop: inv remote-{service.name} --stop")
        return
    _stay(server, service, job, address, options)


def _stop(server: TargetSession, service: Service, job: str) -> None:
    from remote.operations.jobs import stop

    if not job:
        raise JobError(f"{service.title} doesn't go on there.")
    answer = stop(server, job)
    print_lines(f"{answer.id} {answer.status.state}")
    _say_saved(server)


def _start(
    server: TargetSession, service: Service, place: Mapping[str, str], asked: RunOptions
) -> str:
    """Push, and start the service; its job's id. What a push would replace there is brought first."""
    from remote.operations import services
    from remote.operations.submit import submit

    job = services.job_of(server, service, {**PLACES[service.name], **place}, asked)
    names = services.saved(server) if server.facts.ours else []
    if names:
        raise JobError(
            f"Saved in JupyterLab there, and not here: {', '.join(names)}.",
            "Bring it: inv remote-lab --bring. Or let it go: make sync-push",
        )
    push_and_tell(server)
    if service == services.LAB and asked.gpus:
        say(f"It leases {plural(asked.gpus, 'GPU')} until it ends: inv remote-lab --stop")
    elif service == services.LAB:
        say("It leases no GPU; --gpus 1 does, for as long as it goes on.")
    return submit(server, job).id


def _stay(
    server: TargetSession,
    service: Service,
    job: str,
    address: ServiceAddress,
    options: ServiceOptions,
) -> None:
    """Hold the tunnel until Ctrl-C, or until the service ends."""
    from remote.operations import services, tunnel

    port = options.port or services.port_for(server, service)
    page = services.page(address, port)

    def opened() -> None:
        print_lines(page)
        if not options.no_browser and not tunnel.show(page):
            say("No browser could be opened here: open this address in one.")
        say(f"Ctrl-C closes the tunnel; {service.title} goes on there.")

    try:
        status = services.hold(server, job, address, port, opened)
        say(f"{service.title} has ended: {status.state}")
    except KeyboardInterrupt:
        say("", f"{service.title} goes on there: inv remote-{service.name} opens it again.")
        say(f"End it: inv remote-{service.name} --stop")
    _say_saved(server)


def _say_saved(server: TargetSession) -> None:
    from remote.operations import services

    names = services.saved(server)
    if names:
        say(f"Saved there, and not here: {', '.join(names)}")
        say("A push would replace that: inv remote-lab --bring brings it first.")


def _bring(server: TargetSession) -> None:
    from remote.operations import services

    names = services.saved(server)
    coming = [name for name in names if services.may_come(name, server.project.root)]
    for name in sorted(set(names) - set(coming)):
        say(f"{name} is not brought: it is for this machine to run. Copy it by hand.")
    if not coming:
        say("Nothing was saved in JupyterLab there that is to come here.")
        return
    brought, backup = services.bring(server, coming)
    print_lines(*brought)
    if backup:
        say(f"{plural(len(brought), 'file')} came; versions of here are kept in {backup}/")
