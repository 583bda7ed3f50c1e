"""`inv remote-lab`, `remote-tensorboard`, `remote-ui`: pages that the target serves, opened here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from remote.errors import JobError
from remote.options import UnitError, count, option, seconds
from remote.output import plural, print_lines, say, say_log
from remote.tasks.argparse_task import ArgparseTask
from remote.tasks.exits import exit_on_error
from remote.tasks.sync import TARGET_HELP, push_line, server_of

if TYPE_CHECKING:
    from remote.job.messages.services import ServiceAddress, ServiceAnswer
    from remote.operations.services import Service, Wish
    from remote.session import TargetSession

#: Where new notebooks are a job's own: no push touches them, each pull brings them.
LAB_FOLDER = "data/results/lab"
LOGDIR = "logs"

#: What becomes of a service and its tunnel.
STOP, BACKGROUND, ADDRESS, BROWSER = "--stop", "--background", "--no-browser", ""


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

    @property
    def mode(self) -> str:
        """What is to be done."""
        if self.stop:
            return STOP
        return BACKGROUND if self.background else ADDRESS if self.no_browser else BROWSER


@dataclass(frozen=True)
class LabOptions(ServiceOptions):
    """The flags of `remote-lab`."""

    folder: str = option(
        "--folder",
        f"the folder to begin in (default: {LAB_FOLDER}); /... shows that one alone",
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

    logdir: str = option("--logdir", f"a folder of the target (default: {LOGDIR})")


@task(klass=ArgparseTask, options=LabOptions)
@exit_on_error
def remote_lab(c: Context, options: LabOptions = LabOptions()) -> None:
    """Open JupyterLab on the target, on its whole machine, through a tunnel.

    It goes on there when Ctrl-C closes the tunnel; inv remote-lab opens it again.
    """
    from remote.operations import services

    if options.bring:
        _bring(server_of(options.target))
        return
    wish = services.Wish(
        place={"folder": services.folder_of(options.folder)} if options.folder else {},
        extras=options.extras,
        gpus=options.gpus,
        timeout=options.timeout,
    )
    _serve(services.LAB, wish, {"folder": LAB_FOLDER}, options)


@task(klass=ArgparseTask, options=TensorboardOptions)
@exit_on_error
def remote_tensorboard(c: Context, options: TensorboardOptions = TensorboardOptions()) -> None:
    """Open TensorBoard on the target's logs, through a tunnel."""
    from remote.operations import services

    wish = services.Wish(place={"logdir": options.logdir} if options.logdir else {})
    _serve(services.TENSORBOARD, wish, {"logdir": LOGDIR}, options)


@task(klass=ArgparseTask, options=ServiceOptions)
@exit_on_error
def remote_ui(c: Context, options: ServiceOptions = ServiceOptions()) -> None:
    """Open mlflow ui on the target's own records, through a tunnel."""
    from remote.operations import services

    _serve(services.UI, services.Wish(), {}, options)


def _serve(
    service: Service, wish: Wish, defaults: Mapping[str, str], options: ServiceOptions
) -> None:
    """Find or start a service, and stay with it as the options say."""
    from remote.operations import services, tunnel

    server, port, mode = server_of(options.target), options.port, options.mode
    running = _running(server, service)
    if mode == STOP:
        _stop(server, service, running.id)
        return
    if port and not tunnel.is_free(port):
        raise JobError(f"Port {port} of this machine is in use.", "Choose another one.")
    if running.id:
        services.refuse_other(service, running, wish)
        job = running.id
    else:
        job = _start(server, service, wish, {**defaults, **wish.place})
    try:
        address = services.wait(server, service, job, out=say_log)
    except KeyboardInterrupt:
        say("", f"{service.title} is still being started: inv remote-{service.name} goes to it.")
        return
    if mode == BACKGROUND:
        print_lines(job)
        say(f"open: inv remote-{service.name}")
        say(f"stop: inv remote-{service.name} --stop")
        return
    _stay(server, service, job, address, port, mode)


def _running(server: TargetSession, service: Service) -> ServiceAnswer:
    """The one that goes on; none on a target that is still to be made by the first push."""
    from remote.job.messages.services import ServiceAnswer
    from remote.operations import services

    return services.find(server, service) if server.facts.ours else ServiceAnswer()


def _start(server: TargetSession, service: Service, wish: Wish, place: Mapping[str, str]) -> str:
    from remote.operations import services
    from remote.operations.push import push
    from remote.operations.submit import submit

    job = services.job_of(server, service, wish, place)
    if server.facts.ours:
        _refuse_unbrought(server)
    say(push_line(server, push(server)))
    if service == services.LAB:
        say(_lease(wish.gpus or 0))
    return submit(server, job, say=say).id


def _lease(gpus: int) -> str:
    if gpus:
        return f"It leases {plural(gpus, 'GPU')} until it ends: inv remote-lab --stop"
    return "It leases no GPU; --gpus 1 does, for as long as it goes on."


def _refuse_unbrought(server: TargetSession) -> None:
    """A push would replace what was saved in the lab and is nowhere else."""
    from remote.operations import bring_saved

    names = bring_saved.waiting(server)
    if names:
        raise JobError(
            f"Saved in JupyterLab there, and not here: {', '.join(names)}.",
            "Bring it: inv remote-lab --bring. Or let it go: make sync-push",
        )


def _stop(server: TargetSession, service: Service, job: str) -> None:
    from remote.operations.jobs import stop

    if not job:
        raise JobError(f"{service.title} doesn't go on there.")
    answer = stop(server, job)
    print_lines(f"{answer.id} {answer.status.state}")
    _say_saved(server)


def _stay(
    server: TargetSession, service: Service, job: str, address: ServiceAddress, port: int, mode: str
) -> None:
    """Hold the tunnel until Ctrl-C, or until the service ends."""
    from remote.operations import services, tunnel

    port = services.port_for(server, service, port)
    page = services.page(address, port)

    def opened() -> None:
        print_lines(page)
        if mode == BROWSER and not tunnel.show(page):
            say("No browser could be opened here: open this address in one.")
        say(f"Ctrl-C closes the tunnel; {service.title} goes on there.")

    try:
        status = services.hold(server, job, address, port, opened=opened, say=say)
        say(f"{service.title} has ended: {status.state}")
    except KeyboardInterrupt:
        say("", f"{service.title} goes on there: inv remote-{service.name} opens it again.")
        say(f"End it: inv remote-{service.name} --stop")
    _say_saved(server)


def _say_saved(server: TargetSession) -> None:
    from remote.operations import bring_saved

    names = bring_saved.waiting(server)
    if names:
        say(f"Saved there, and not here: {', '.join(names)}")
        say("A push would replace that: inv remote-lab --bring brings it first.")


def _bring(server: TargetSession) -> None:
    from remote.operations import bring_saved

    names = bring_saved.waiting(server)
    coming = [name for name in names if bring_saved.may_come(name, server.project.root)]
    for name in sorted(set(names) - set(coming)):
        say(f"{name} is not brought: it is for this machine to run. Copy it by hand.")
    if not coming:
        say("Nothing was saved in JupyterLab there that is to come here.")
        return
    brought, backup = bring_saved.bring(server, coming)
    print_lines(*brought)
    if backup:
        say(f"{plural(len(brought), 'file')} came; versions of here are kept in {backup}/")


TASKS = (remote_lab, remote_tensorboard, remote_ui)
