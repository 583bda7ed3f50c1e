"""`inv remote-lab`, `remote-tensorboard`, `remote-ui`: pages that the target serves, opened here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.tasks import task

from remote.errors import JobError
from remote.tasks.exits import plural, say, told
from remote.tasks.sync import TARGET_HELP, push_line, server_of

if TYPE_CHECKING:
    from remote.operations.services.services import Service, Wish
    from remote.session import Server

#: Where new notebooks are a job's own: no push touches them, each pull brings them.
LAB_FOLDER = "data/results/lab"
LOGDIR = "logs"

COMMON_HELP = {
    "target": TARGET_HELP,
    "port": "the port of this machine (default: the same each time, if it is free)",
    "no-browser": "only print the address",
    "background": "start it and return, without a tunnel",
    "stop": "end it",
}


@task(
    iterable=["extra"],
    help={
        **COMMON_HELP,
        "folder": f"the folder to begin in (default: {LAB_FOLDER}); /... shows that one alone",
        "extra": "a further extra of the lock file, such as torch; may come again",
        "gpus": "how many GPUs to lease for as long as it goes on (default: none)",
        "timeout": "end it after this time, such as 8h",
        "bring": "bring here what was saved in it among the project's files",
    },
)
@told
def remote_lab(
    c: Context,
    target: str = "",
    port: int = 0,
    no_browser: bool = False,
    background: bool = False,
    stop: bool = False,
    folder: str = "",
    extra: Sequence[str] | None = None,
    gpus: str = "",
    timeout: str = "",
    bring: bool = False,
) -> None:
    """Open JupyterLab on the target, on its whole machine, through a tunnel.

    It goes on there when Ctrl-C closes the tunnel; inv remote-lab opens it again.
    """
    from remote import units
    from remote.operations.services import services

    server = server_of(target)
    if bring:
        _bring(server)
        return
    wish = services.Wish(
        place={"folder": services.folder_of(folder)} if folder else {},
        extras=tuple(extra or ()),
        gpus=units.gpu_count(gpus) if gpus else None,
        timeout=units.seconds(timeout, "--timeout") if timeout else 0,
    )
    defaults = {"folder": LAB_FOLDER}
    _serve(server, services.LAB, wish, defaults, port, _mode(no_browser, background, stop))


@task(
    help={**COMMON_HELP, "logdir": f"a folder of the target (default: {LOGDIR})"},
)
@told
def remote_tensorboard(
    c: Context,
    target: str = "",
    port: int = 0,
    no_browser: bool = False,
    background: bool = False,
    stop: bool = False,
    logdir: str = "",
) -> None:
    """Open TensorBoard on the target's logs, through a tunnel."""
    from remote.operations.services import services

    wish = services.Wish(place={"logdir": logdir} if logdir else {})
    mode = _mode(no_browser, background, stop)
    _serve(server_of(target), services.TENSORBOARD, wish, {"logdir": LOGDIR}, port, mode)


@task(help=COMMON_HELP)
@told
def remote_ui(
    c: Context,
    target: str = "",
    port: int = 0,
    no_browser: bool = False,
    background: bool = False,
    stop: bool = False,
) -> None:
    """Open mlflow ui on the target's own records, through a tunnel."""
    from remote.operations.services import services

    mode = _mode(no_browser, background, stop)
    _serve(server_of(target), services.UI, services.Wish(), {}, port, mode)


STOP, BACKGROUND, ADDRESS, BROWSER = "--stop", "--background", "--no-browser", ""


def _mode(no_browser: bool, background: bool, stop: bool) -> str:
    """What is to be done; raises JobError where it can't be all of that."""
    if stop and (background or no_browser):
        raise JobError("--stop ends it: nothing else goes with that.")
    return STOP if stop else BACKGROUND if background else ADDRESS if no_browser else BROWSER


def _serve(
    server: Server,
    service: Service,
    wish: Wish,
    defaults: Mapping[str, str],
    port: int,
    mode: str,
) -> None:
    """Find or start a service, and stay with it as `mode` says."""
    from remote.operations.services import services, tunnel

    if port and not 0 < port < 65536:
        raise JobError(f"--port takes a number up to 65535, not {port}.")
    found = _found(server, service)
    if mode == STOP:
        _stop(server, service, found)
        return
    if port and not tunnel.is_free(port):
        raise JobError(f"Port {port} of this machine is in use.", "Choose another one.")
    if found:
        services.refuse_other(service, found, wish)
        job = found["id"]
    else:
        job = _start(server, service, wish, {**defaults, **wish.place})
    try:
        at = services.wait(server, service, job, out=_show)
    except KeyboardInterrupt:
        say(f"\n{service.title} is still being started: inv remote-{service.name} goes to it.")
        return
    if mode == BACKGROUND:
        print(job)
        say(f"open: inv remote-{service.name}")
        say(f"stop: inv remote-{service.name} --stop")
        return
    _stay(server, service, job, at, port, mode)


def _found(server: Server, service: Service) -> dict[str, Any]:
    """The one that goes on; none on a target that is still to be made by the first push."""
    from remote.operations.services import services

    return services.find(server, service) if server.facts.get("ours") else {}


def _start(server: Server, service: Service, wish: Wish, place: Mapping[str, str]) -> str:
    from remote.operations.push import push
    from remote.operations.services import services

    job = services.job_of(server, service, wish, place)
    if server.facts.get("ours"):
        _refuse_unbrought(server)
    say(push_line(server, push(server)))
    if service == services.LAB:
        say(_lease(wish.gpus or 0))
    return services.start(server, job, say=say)


def _lease(gpus: int) -> str:
    if gpus:
        return f"It leases {plural(gpus, 'GPU')} until it ends: inv remote-lab --stop"
    return "It leases no GPU; --gpus 1 does, for as long as it goes on."


def _refuse_unbrought(server: Server) -> None:
    """A push would replace what was saved in the lab and is nowhere else."""
    from remote.operations.services import bring_saved

    names = bring_saved.waiting(server)
    if names:
        raise JobError(
            f"Saved in JupyterLab there, and not here: {', '.join(names)}.",
            "Bring it: inv remote-lab --bring. Or let it go: make sync-push",
        )


def _stop(server: Server, service: Service, found: Mapping[str, Any]) -> None:
    from remote.operations.jobs import stop

    if not found:
        raise JobError(f"{service.title} doesn't go on there.")
    status = stop(server, found["id"])["status"]
    print(f"{found['id']} {status['state']}")
    _tell_saved(server)


def _stay(
    server: Server, service: Service, job: str, at: Mapping[str, Any], port: int, mode: str
) -> None:
    """Hold the tunnel until Ctrl-C, or until the service ends."""
    from remote.operations.services import browser, services

    port = services.port_for(server, service, port)
    address = services.address(at, port)

    def opened() -> None:
        print(address, flush=True)
        if mode == BROWSER and not browser.show(address):
            say("No browser could be opened here: open this address in one.")
        say(f"Ctrl-C closes the tunnel; {service.title} goes on there.")

    try:
        status = services.hold(server, job, at, port, opened=opened, say=say)
        say(f"{service.title} has ended: {status['state']}")
    except KeyboardInterrupt:
        say(f"\n{service.title} goes on there: inv remote-{service.name} opens it again.")
        say(f"End it: inv remote-{service.name} --stop")
    _tell_saved(server)


def _tell_saved(server: Server) -> None:
    from remote.operations.services import bring_saved

    names = bring_saved.waiting(server)
    if names:
        say(f"Saved there, and not here: {', '.join(names)}")
        say("A push would replace that: inv remote-lab --bring brings it first.")


def _bring(server: Server) -> None:
    from remote.operations.services import bring_saved

    names = bring_saved.waiting(server)
    coming = [name for name in names if bring_saved.may_come(name, server.project.root)]
    for name in sorted(set(names) - set(coming)):
        say(f"{name} is not brought: it is for this machine to run. Copy it by hand.")
    if not coming:
        say("Nothing was saved in JupyterLab there that is to come here.")
        return
    brought, backup = bring_saved.bring(server, coming)
    for name in brought:
        print(name)
    if backup:
        say(f"{plural(len(brought), 'file')} came; versions of here are kept in {backup}/")


def _show(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


TASKS = (remote_lab, remote_tensorboard, remote_ui)
