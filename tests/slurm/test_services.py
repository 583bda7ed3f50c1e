"""Services on a node that nobody can log in to, reached from the laptop through the login node."""

from __future__ import annotations

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from remote.agent import services
from remote.agent.job_state import state_of
from remote.agent.jobs import live
from remote.config import Project
from remote.errors import ConnectError
from remote.job.messages.jobs import AttachRequest, StopRequest
from remote.job.messages.services import ServiceAddress, ServiceRequest
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec
from remote.job.status import ENDED, RUNNING, STOPPED, Serving
from remote.operations import tunnel
from remote.operations.jobs.follow import over_ssh
from remote.operations.services import page_of
from remote.session import TargetSession
from remote.target import Target as TargetName
from scripts.sshd import PrivateSshd, free_port, running
from tests.agent.job_folder import KEY
from tests.integration.terminal import in_terminal
from tests.slurm.conftest import Target
from tests.waiting import until

#: What stands for JupyterLab: its settings, its account of itself, a page for who has the token.
LAB = """\
import http.server, json, os, sys

class LabApp:
    @staticmethod
    def launch_instance(argv):
        told = dict(word[2:].split("=", 1) for word in argv)
        token = told["IdentityProvider.token"]

        class Page(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                is_owner = f"token={token}" in self.path
                words = "SLURMD_NODENAME", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"
                body = " ".join(os.environ[word] for word in words).encode()
                if "big" in self.path:
                    body = b"x" * 3_000_000
                self.send_response(200 if is_owner else 403)
                self.send_header("Content-Length", str(len(body) if is_owner else 0))
                self.end_headers()
                self.wfile.write(body if is_owner else b"")

            def do_HEAD(self):
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words):
                pass

        server = http.server.ThreadingHTTPServer((told["ServerApp.ip"], 0), Page)
        folder = os.environ["JUPYTER_RUNTIME_DIR"]
        account = {"port": server.server_port, "token": token}
        with open(f"{folder}/jpserver-1.json", "w") as file:
            json.dump(account, file)
        server.serve_forever()
"""


@pytest.fixture(scope="module")
def login(place: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """The login node."""
    home, env = place.root.parent / "home", place.cluster.env
    folder = tmp_path_factory.mktemp("login")
    with running(PrivateSshd(folder, home, path=env["PATH"], settings=env)) as sshd:
        yield sshd


@pytest.fixture
def server(target: Target, login: PrivateSshd, tmp_path: Path) -> Iterator[TargetSession]:
    """What the laptop has of it."""
    project = Project(tmp_path, {"REMOTE_SSH_CONFIG": str(login.config)})
    session = TargetSession.of(project, TargetName.parse(f"gpu:{target.root}"))
    session.key = KEY
    yield session
    assert session.ssh
    session.ssh.close()


def start(target: Target, service: str, **asked: object) -> JobPaths:
    facts = {"kind": "service", "source": service, "name": service, "service": service}
    env = {"environment": "python", "environment_source": sys.executable}
    spec = {"live": True, "record": False, "folder": "data/results/lab", **facts, **env, **asked}
    return target.submit(JobSpec(**spec))


def address_of(paths: JobPaths) -> ServiceAddress:
    """Where it answers, once it does."""
    request = ServiceRequest(key=KEY, job=paths.id)
    address = until(lambda: services.look(request).address or state_of(paths).state in ENDED)
    assert isinstance(address, ServiceAddress), paths.log.read_text()
    assert address.job == paths.id
    return address


def stop(paths: JobPaths) -> None:
    [stopped] = live.stop(StopRequest(key=KEY, jobs=(paths.id,))).stopped
    assert stopped.status.state == STOPPED


def fetched(page: str) -> bytes:
    with urllib.request.urlopen(page, timeout=30) as answer:
        return bytes(answer.read())


@pytest.fixture
def lab(target: Target) -> JobPaths:
    package = target.write("packages/jupyterlab/labapp.py", LAB).parent
    (package / "__init__.py").touch()
    return start(target, "lab", gpus=2, env={"PYTHONPATH": str(package.parent)})


def test_a_lab_on_a_node_is_opened_through_the_login_node_and_its_end_told(
    target: Target, server: TargetSession, lab: JobPaths
) -> None:
    address, port = address_of(lab), free_port()
    assert (lab.address.stat().st_mode & 0o777, address.path) == (
        0o600,
        "/lab/tree/data/results/lab",
    )
    private = Path(Serving.from_file(lab.serving).folder)
    server.agent.bring()
    page, pages = page_of(address, port), list[bytes]()

    def opened() -> None:
        pages.append(fetched(page))
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetched(page.partition("?")[0])
        # More at once than an sshd lets a login have of sessions (MaxSessions is 10 mostly).
        with ThreadPoolExecutor(12) as browser:
            pages.extend(browser.map(fetched, [page + "&big"] * 12))
        threading.Thread(target=stop, args=(lab,)).start()

    status = tunnel.hold(server, lab.id, address, port, opened)
    assert (status.state, status.cause) == (STOPPED, "stopped")
    node, number, gpus = pages[0].decode().split()
    assert node in ("gpu1", "gpu2") and number == target.number(lab) and len(gpus.split(",")) == 2
    assert [len(each) for each in pages[1:]] == [3_000_000] * 12
    # A program that is just being started holds what this process has.
    until(lambda: tunnel.is_free(port))
    assert not lab.address.exists() and not private.exists()
    with (
        pytest.raises(ConnectError, match="does not run yet"),
        tunnel.tunnel(server, address, port),
    ):
        pass


def test_a_relay_that_breaks_leaves_the_port_and_the_next_one_leads_there(
    target: Target, server: TargetSession, lab: JobPaths
) -> None:
    address, port = address_of(lab), free_port()
    server.agent.bring()
    with tunnel.tunnel(server, address, port):
        tunnel.check(server, port)
        steps = target.cluster.run(
            "squeue", "-h", "-s", "-j", target.number(lab), "-o", "%i"
        ).split()
        [step] = [name for name in steps if name.rpartition(".")[2].isdigit()]
        target.cluster.run("scancel", "--signal=KILL", step)
        until(lambda: tunnel.is_free(port))
    with tunnel.tunnel(server, address, port):
        assert fetched(page_of(address, port)).split()[0] in (b"gpu1", b"gpu2")
    # Nobody leaves a step behind.
    look = ("squeue", "-h", "-s", "-j", target.number(lab), "-o", "%i")
    until(lambda: not [n for n in target.cluster.run(*look).split() if n[-1].isdigit()])
    stop(lab)


def test_a_shell_on_a_node_outlives_its_terminal(target: Target, server: TargetSession) -> None:
    paths = start(target, "shell", gpus=1, folder=None)
    address_of(paths)
    argv = live.attach(AttachRequest(key=KEY, job=paths.id, terminal="xterm")).argv
    assert server.ssh
    server.connect()
    words, env = over_ssh(server.ssh, argv), {**os.environ, "TERM": "xterm"}
    with in_terminal(words, env) as terminal:
        # In tmux's line of status.
        terminal.until(f"[{paths.id[:8]}".encode())
        terminal.type(b"kept=on-$SLURMD_NODENAME-$CUDA_VISIBLE_DEVICES; echo first-$kept\r")
        terminal.until(b"first-on-gpu")
        assert terminal.end(keys=b"\x02d") == 0
    assert target.became(paths, RUNNING).state == RUNNING
    with in_terminal(words, env) as terminal:
        terminal.until(b"first-on-gpu")
        # Ctrl-U: a key that was typed to leave may have come to the shell.
        terminal.type(b"\x15echo second-$kept\r")
        terminal.until(b"second-on-gpu")
        terminal.type(b"exit\r")
        terminal.end()
    assert target.became(paths).exit_code == 0
