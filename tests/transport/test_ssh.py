"""ssh's command lines, the folder of its sockets, and what its failures mean."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.errors import ConfigError, ConnectError
from remote.target import Target
from remote.transport import ssh
from remote.transport.ssh import Log, Ssh


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets; pytest's own have paths that are too long for one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


def test_a_login_is_that_of_the_target() -> None:
    assert Target.parse("me@[::1]:/d").login == "me@::1"


def test_the_command_stands_after_a_double_dash() -> None:
    argv = Ssh("gpu").command("exec true")
    assert argv[0] == "ssh" and argv[-3:] == ["--", "gpu", "exec true"]


def test_host_keys_are_checked_as_the_user_says() -> None:
    options = " ".join(Ssh("gpu").options())
    assert "StrictHostKeyChecking" not in options and "KnownHosts" not in options


def test_the_users_configuration_is_used_unless_another_is_named() -> None:
    assert "-F" not in Ssh("gpu").options()
    assert Ssh("gpu", "/a b/config").options()[:2] == ["-F", "/a b/config"]


@pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is not installed")
def test_the_real_ssh_reads_every_option(tmp_path: Path) -> None:
    config = tmp_path / "my config"
    config.write_text("Host gpu\n  HostName 192.0.2.1\n  Port 2222\n  User ada\n")
    link = Ssh("gpu", str(config))
    argv = ["ssh", "-G", *link.options(), "--", "gpu"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert said["hostname"] == "192.0.2.1" and said["port"] == "2222" and said["user"] == "ada"
    assert said["controlpath"] == str(link.control) and said["controlmaster"] == "auto"
    assert said["clearallforwardings"] == "yes" and said["requesttty"] == "false"


def test_every_login_and_configuration_has_a_socket_of_its_own() -> None:
    links = [Ssh("a"), Ssh("b"), Ssh("me@a"), Ssh("a", "/config")]
    assert len({link.control for link in links}) == 4
    assert Ssh("a").control == Ssh("a").control


@pytest.mark.parametrize("base", ["", "/no/such/folder"])
def test_the_path_of_the_socket_is_short(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    """macOS allows 104 bytes, and ssh appends 17 of its own while it makes the socket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    folder = Path(f"/tmp/remote-{os.getuid()}")
    was_there = folder.exists()
    path = Ssh("someone.with.a.long.name@a-very-long-name.of.a.gpu.example.org" * 5).control
    if not was_there:
        folder.rmdir()
    assert path.parent == folder
    assert len(os.fsencode(path)) + 17 < 104 and len(os.fsencode(path)) < 90


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_runtime_folder_of_somebody_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `su` and `sudo -E` leave behind; nobody can write to /proc either."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    assert ssh.control_folder().parent == Path("/tmp")


def test_a_long_runtime_folder_does_not_make_the_socket_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert len(os.fsencode(Ssh("gpu").control)) < 90


def test_the_folder_of_sockets_is_private(runtime: Path) -> None:
    folder = ssh.control_folder()
    assert folder.parent == runtime and folder.stat().st_mode & 0o777 == 0o700
    assert ssh.control_folder() == folder


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701])
def test_a_folder_that_others_can_reach_is_refused(runtime: Path, mode: int) -> None:
    ssh.control_folder().chmod(mode)
    with pytest.raises(ConfigError, match="yours alone"):
        ssh.control_folder()


def test_a_link_in_its_place_is_refused(runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (runtime / f"remote-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="yours alone"):
        ssh.control_folder()


def test_a_file_in_its_place_is_refused(runtime: Path) -> None:
    (runtime / f"remote-{os.getuid()}").write_text("")
    with pytest.raises(ConfigError, match="yours alone"):
        ssh.control_folder()


def split_like_rsync(command: str) -> list[str]:
    """How rsync cuts its `-e`: at blanks, quotes of both kinds, doubled inside for themselves."""
    words: list[str] = []
    word, quote, index = None, "", 0
    while index < len(command):
        letter = command[index]
        if quote and letter == quote:
            if command[index + 1 : index + 2] == quote:
                word, index = (word or "") + letter, index + 1
            else:
                quote = ""
        elif quote:
            word = (word or "") + letter
        elif letter in "'\"":
            quote, word = letter, word or ""
        elif letter == " ":
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + letter
        index += 1
    return words + ([] if word is None else [word])


@pytest.mark.parametrize("config", ["", "/a/config", '/a b/it\'s "c"', "/日本/$(x);&", "''"])
def test_rsync_cuts_the_command_into_the_same_words(config: str) -> None:
    link = Ssh("gpu", config)
    assert split_like_rsync(link.rsh()) == ["ssh", *link.options()]


@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
@pytest.mark.parametrize("config", ["/a/config", '/a b/it\'s "c"', "/日本/$(x);&"])
def test_the_real_rsync_does_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    note = f"json.dump(sys.argv[1:], open({str(tmp_path / 'seen')!r}, 'w'))"
    fake.write_text(f"#!{sys.executable}\nimport sys, json\n{note}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    link = Ssh("gpu", config)
    subprocess.run(["rsync", "-e", link.rsh(), "gpu:x", str(tmp_path / "y")], capture_output=True)
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen[: len(link.options())] == link.options()


CASES = {
    "ssh: Could not resolve hostname gpuu: Name or service not known": "not known",
    "No ED25519 host key is known for gpu.\nHost key verification failed.": "host key",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key failed.": "host key",
    "me@gpu: Permission denied (publickey,password).": "refuses the login",
    "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures": "refuses",
    "ssh: connect to host gpu port 22: Connection refused": "no SSH server listens",
    "ssh: connect to host gpu port 22: Connection timed out": "does not answer",
    "ssh: connect to host gpu port 22: Operation timed out": "does not answer",
    "ssh: connect to host gpu port 22: No route to host": "does not answer",
    "ssh: connect to host gpu port 22: Network is unreachable": "does not answer",
    "Connection timed out during banner exchange": "does not answer",
    "kex_exchange_identification: Connection closed by remote host": "Connection closed by remote",
    "/home/me/.ssh/config: line 3: Bad configuration option: foo": "Bad configuration option",
    "": "ssh said nothing",
}


@pytest.mark.parametrize("text", CASES)
def test_a_failure_says_what_it_means(text: str) -> None:
    error = Ssh("me@gpu").failure(text)
    assert isinstance(error, ConnectError)
    assert CASES[text] in error.message and "gpu" in error.message
    assert error.hint and len(str(error).splitlines()) <= 2


def test_a_login_with_braces_is_no_template() -> None:
    assert "{0}" in Ssh("{0}@gpu").failure("Connection refused").message


def test_the_cause_is_found_among_other_words() -> None:
    text = "Warning: added to known hosts.\nBanner 日本\nme@gpu: Permission denied (publickey).\n"
    assert "refuses" in Ssh("me@gpu").failure(text).message


def test_an_ssh_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'me@gpu: Permission denied (publickey).' >&2\nexit 255\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(ConnectError, match="refuses the login"):
        Ssh("me@gpu").connect()


def test_a_machine_without_ssh_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="ssh is not installed"):
        Ssh("gpu").connect()


def test_a_dead_socket_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a master leaves that was killed."""
    link = Ssh("gpu")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(link.control))
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    seen = shlex.quote(str(link.control))
    fake.write_text(f"#!/bin/sh\ntest ! -e {seen} || exit 9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    link.connect()
    assert not link.control.exists()


def test_a_living_socket_needs_no_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Ssh("gpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as alive:
        alive.bind(str(link.control))
        alive.listen()
        greeting = threading.Thread(target=lambda: alive.accept()[0].send(b"hello"))
        greeting.start()
        link.connect()
        greeting.join()


def test_a_socket_whose_master_was_stopped_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remote.transport.ssh.GREETING", 0.1)
    link = Ssh("gpu")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(link.control))
        silent.listen()
        assert not link.answers


@pytest.fixture
def log() -> Iterator[Log]:
    with contextlib.closing(Log()) as log:
        yield log


def test_it_never_becomes_a_master_itself() -> None:
    argv = Ssh("gpu").session("-tt", log="/the log")
    # ssh obeys the first setting of a name that it finds.
    assert argv.index("ControlMaster=no") < argv.index("ControlMaster=auto")
    assert argv[:2] == ["ssh", "-tt"] and argv[-2:] == ["--", "gpu"] and "/the log" in argv


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        ("debug2: Received exit status from master 3", True),
        ("debug1: client_input_channel_req: channel 0 rtype exit-signal reply 0", True),
        ("debug2: channel 0: rcvd eof", False),
        ("", False),
    ],
)
def test_an_exit_code_that_the_server_told_is_known(log: Log, line: str, tells: bool) -> None:
    Path(log.path).write_text(f"OpenSSH_9.2p1\n{line}\n")
    assert log.tells_exit is tells


def test_complaints_are_told_apart_from_reports(log: Log) -> None:
    Path(log.path).write_text(
        "OpenSSH_9.2p1 Debian\r\ndebug1: Reading configuration\n"
        "Authenticated to gpu\nmux_client_request_session: read from master failed\r\n\n"
    )
    assert log.words == "mux_client_request_session: read from master failed"
