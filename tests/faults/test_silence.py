"""No answer comes: a job is started once all the same, and what is told is what happened."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import NoAnswer
from remote.job.messages.jobs import JobsRequest, LogRequest
from remote.job.paths import CACHE
from remote.operations.jobs import bootstrap
from remote.session import TargetSession
from remote.target import Target
from remote.transport import process, ssh
from scripts.sshd import PrivateSshd
from tests.conftest import ProjectFolder
from tests.waiting import until

#: In the place of the server's Python: loses the answer to a submission in the way that a file says.
PYTHON = """\
#!/bin/sh
test -e '{fault}' || exec {python} "$@"
cat > '{request}'
grep -q '"verb": "submit"' '{request}' || exec {python} "$@" < '{request}'
fault=$(cat '{fault}')
rm '{fault}'
case $fault in
agent-before) kill -9 $$;;
agent) {python} "$@" < '{request}' >/dev/null; kill -9 $$;;
sshd) {python} "$@" < '{request}' >/dev/null; kill -9 $PPID; sleep 60;;
hang) {python} "$@" < '{request}' >/dev/null; touch '{fault}.hangs'; exec sleep 60;;
esac
"""

RUN = ("remote-run", "--gpus", "0", "--name", "once", "--", "true")


@pytest.fixture
def fault(sshd: PrivateSshd, tmp_path: Path) -> Iterator[Path]:
    """The file that names the next fault."""
    file = tmp_path / "fault"
    python = sshd.home / CACHE / "python3"
    uv = python.parent / "bin/uv"
    uv.parent.mkdir(parents=True, exist_ok=True)
    if not uv.exists():
        # So that a job is started when it is first asked for.
        shutil.copy(bootstrap.own_uv(), uv)
    names = {"fault": file, "request": tmp_path / "request", "python": shutil.which("python3")}
    python.write_text(PYTHON.format(**names))
    python.chmod(0o755)
    yield file
    python.unlink()


@pytest.fixture
def pushed(project: ProjectFolder, fault: Path) -> ProjectFolder:
    project.write("requirements.lock", "")
    project.inv("sync-push")
    return project


def jobs(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".remote/jobs").iterdir())


def unanswered(project: ProjectFolder) -> list[Path]:
    return list((project.root / ".remote/requests").iterdir())


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("agent", "The process on gpu was killed before it was done."),
        ("sshd", "The connection to gpu broke."),
    ],
)
def test_a_job_whose_answer_was_lost_is_found_at_once(
    pushed: ProjectFolder, target_root: Path, fault: Path, kind: str, told: str
) -> None:
    fault.write_text(kind)
    done = pushed.inv(*RUN)
    (job,) = jobs(target_root)
    assert done.out == f"{job}\n" and told in done.err
    assert f"{job} had started, and its answer was lost: no second job was started." in done.err
    assert not unanswered(pushed)


def test_a_job_that_was_not_started_is_started_then(
    pushed: ProjectFolder, target_root: Path, fault: Path
) -> None:
    fault.write_text("agent-before")
    done = pushed.inv(*RUN)
    assert done.out == f"{jobs(target_root)[0]}\n" and len(jobs(target_root)) == 1
    assert "had started" not in done.err


def test_after_the_client_was_killed_the_same_command_finds_its_job(
    pushed: ProjectFolder, target_root: Path, fault: Path
) -> None:
    fault.write_text("hang")
    client = pushed.start(*RUN)
    until(fault.with_suffix(".hangs").exists)
    client.kill()
    client.communicate()
    (job,) = jobs(target_root)
    # Another command is another job.
    pushed.inv("remote-run", "--gpus", "0", "--name", "other", "--", "true")
    again = pushed.inv(*RUN)
    assert again.out == f"{job}\n" and "had started" in again.err
    assert len(jobs(target_root)) == 2
    # Typed once more, it is meant.
    assert pushed.inv(*RUN).out != f"{job}\n"
    assert len(jobs(target_root)) == 3 and not unanswered(pushed)


def test_a_rerun_of_the_last_job_is_found_though_it_is_the_last_by_now(
    pushed: ProjectFolder, target_root: Path, fault: Path
) -> None:
    pushed.inv(*RUN)
    fault.write_text("hang")
    client = pushed.start("remote-rerun")
    until(fault.with_suffix(".hangs").exists)
    client.kill()
    client.communicate()
    assert "had started" in pushed.inv("remote-rerun").err
    assert len(jobs(target_root)) == 2


def test_an_interrupted_submission_says_how_it_goes_on(
    pushed: ProjectFolder, target_root: Path, fault: Path
) -> None:
    fault.write_text("hang")
    client = pushed.start(*RUN)
    until(fault.with_suffix(".hangs").exists)
    client.send_signal(signal.SIGINT)
    assert "Whether the job started is unknown." in client.communicate()[1]
    assert pushed.inv(*RUN).out == f"{jobs(target_root)[0]}\n" and len(jobs(target_root)) == 1


class Proxy:
    """A TCP proxy to a port of this machine, which can stop carrying anything."""

    def __init__(self, port: int) -> None:
        self._flows = threading.Event()
        self._flows.set()
        self._to = port
        #: Seconds that each piece takes.
        self.pause = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stall(self) -> None:
        self._flows.clear()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                other = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with selectors.DefaultSelector() as ready, one, other, contextlib.suppress(OSError):
            ready.register(one, selectors.EVENT_READ, other)
            ready.register(other, selectors.EVENT_READ, one)
            while True:
                for key, _ in ready.select():
                    piece = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    # Where the way is interrupted, nobody hears of an end either.
                    self._flows.wait()
                    if not piece:
                        return
                    time.sleep(self.pause)
                    key.data.sendall(piece)

    def close(self) -> None:
        self._listening.close()
        self._flows.set()


@pytest.fixture
def proxy(sshd: PrivateSshd) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(sshd.port)) as made:
        yield made


@pytest.fixture
def server(
    pushed: ProjectFolder, sshd: PrivateSshd, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TargetSession]:
    """The target behind a proxy, with little patience."""
    monkeypatch.setattr(ssh, "ALIVE", 1)
    monkeypatch.setattr(ssh, "GREETING", 0.5)
    monkeypatch.setattr(process, "SILENCE", 0.5)
    config = pushed.root / "ssh_config"
    text = sshd.config.read_text()
    # The key of the server is known by the port that it has.
    alias = f"HostKeyAlias [127.0.0.1]:{sshd.port}"
    config.write_text(text.replace(f"Port {sshd.port}", f"Port {proxy.port}\n  {alias}", 1))
    project = Project(pushed.root, {"REMOTE_SSH_CONFIG": str(config)})
    made = TargetSession.of(project, Target.parse(pushed.env["TARGET_DIR"]))
    yield made
    assert made.ssh
    made.ssh.close()


def master(server: TargetSession) -> int:
    """The process that holds the connection."""
    assert server.ssh
    found = re.search(r"pid=(\d+)", server.ssh.tell_master("check").stderr)
    assert found
    return int(found[1])


def test_a_link_that_stalls_is_told(server: TargetSession, proxy: Proxy) -> None:
    server.agent.call(JobsRequest(key=server.key))
    proxy.stall()
    with pytest.raises(NoAnswer, match="The connection to gpu broke"):
        server.agent.call(JobsRequest(key=server.key))


def test_a_push_whose_laptop_is_gone_does_not_keep_the_next_one_waiting(
    pushed: ProjectFolder, server: TargetSession, proxy: Proxy, target_root: Path
) -> None:
    # Nothing of this can be compressed, and not all of it fits into what is on its way.
    (pushed.root / "src/large.bin").write_bytes(os.urandom(15_000_000))
    proxy.pause = 0.02
    client = pushed.start("sync-push", REMOTE_SSH_CONFIG=str(pushed.root / "ssh_config"))
    until(lambda: list((target_root / ".remote/partial").rglob("*large.bin*")))
    proxy.stall()
    client.kill()
    client.communicate()
    assert "Waiting for a push to this target" in pushed.inv("sync-push").err
    assert (target_root / "src/large.bin").stat().st_size == 15_000_000


def test_behind_a_master_that_was_stopped_a_new_one_is_opened(server: TargetSession) -> None:
    server.connect()
    stopped = master(server)
    os.kill(stopped, signal.SIGSTOP)
    try:
        server.agent.call(JobsRequest(key=server.key))
        assert master(server) != stopped
    finally:
        os.kill(stopped, signal.SIGKILL)


def test_a_master_that_is_stopped_during_a_call_is_told(
    server: TargetSession, pushed: ProjectFolder
) -> None:
    job = pushed.inv("remote-run", "--gpus", "0", "--", "sleep", "60").out.strip()
    server.connect()
    stopped = master(server)
    threading.Timer(1, os.kill, (stopped, signal.SIGSTOP)).start()
    try:
        with pytest.raises(NoAnswer, match="The connection to gpu broke"):
            server.agent.call(LogRequest(key=server.key, job=job, wait=True, silent=True))
    finally:
        os.kill(stopped, signal.SIGKILL)
        pushed.inv("remote-stop", job)
