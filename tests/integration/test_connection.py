"""`remote.connection` against a real sshd: Fabric's interface, OpenSSH's wire."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fabric
import paramiko
import pytest
from invoke.exceptions import AuthFailure, CommandTimedOut, UnexpectedExit
from invoke.watchers import Responder

import remote.ssh
from remote.connection import Connection, connect
from remote.connection.shell_environment import with_environment
from remote.errors import ConfigError, ConnectError
from remote.target import Target
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd, free_port, running
from tests.waiting import until

VALUES = {
    "QUOTES": "it's \"so\" `x` \\ \\\\ \\' !x",
    "DOLLARS": "$HOME $(touch hit) ${HOME} `touch hit` ; touch hit & | * ~ # %s %% \\0101",
    "LINES": "one\ntwo\n\n",
    "WIDE": "é€😀 \t tab",
    "EMPTY": "",
    "NUMBER": 7,
}

NAMES = (
    "plain.txt",
    "two words.txt",
    'it\'s "quoted".txt',
    "-rf",
    "$(touch hit) `touch hit`;#&|",
    "*?[a]{host}\\x",
    "line\nbreak",
    "é€😀",
)


@pytest.fixture(autouse=True)
def no_paramiko(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may make a connection of paramiko's."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a paramiko transport was made")

    for module in (paramiko, paramiko.transport, paramiko.client):
        monkeypatch.setattr(module, "Transport", refuse)


@pytest.fixture(autouse=True)
def no_keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pytest's own standard input raises when it is read, as invoke does by default."""
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


@pytest.fixture
def programs(sshd: PrivateSshd) -> Iterator[Path]:
    """A folder on the server's PATH, for one test."""
    before = sshd.path
    folder = sshd.folder / "programs"
    folder.mkdir()
    sshd.path = f"{folder}:{before}"
    sshd.write_login()
    yield folder
    shutil.rmtree(folder)
    sshd.path = before
    sshd.write_login()


@pytest.fixture
def shell(sshd: PrivateSshd) -> Iterator[Callable[[str], None]]:
    """Changes the login shell, for one test."""
    before = sshd.shell

    def change(name: str) -> None:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        sshd.shell = path
        sshd.write_login()

    yield change
    sshd.shell = before
    sshd.write_login()


@pytest.fixture
def here(sshd: PrivateSshd, tmp_path: Path) -> Iterator[str]:
    """A new folder in the home there, by its name."""
    name = f"connection-{tmp_path.name}-{os.getpid()}"
    (sshd.home / name).mkdir()
    yield name
    shutil.rmtree(sshd.home / name)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Makes connections whose shared login ends with the test."""
    made: list[Connection] = []

    def connection(config: Path, login: str = "gpu") -> Connection:
        made.append(Connection(Target.parse(f"{login}:proj"), str(config)))
        return made[-1]

    yield connection
    for one in made:
        one.close()
        one.ssh.close()


@pytest.fixture
def gpu(make: Callable[..., Connection], sshd: PrivateSshd) -> Connection:
    return make(sshd.config)


@pytest.fixture
def own_config(sshd: PrivateSshd, tmp_path: Path) -> Callable[..., Path]:
    """Makes an ssh_config of the test's own, with a word of the server's replaced."""

    def config(name: str, old: str = "", new: str = "") -> Path:
        path = tmp_path / name
        path.write_text(sshd.config.read_text().replace(old, new))
        return path

    return config


def logins(sshd: PrivateSshd) -> int:
    return (sshd.folder / "sshd.log").read_text().count("Accepted publickey")


# Commands


def test_a_command_runs_there_in_the_home_of_the_account(
    gpu: Connection, sshd: PrivateSshd, capfd: pytest.CaptureFixture[str]
) -> None:
    result = gpu.run("pwd; echo oh >&2")
    assert result.stdout == f"{sshd.home}\n"
    assert result.stderr == "oh\n"
    assert result.ok and result.connection is gpu and isinstance(result, fabric.Result)
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == (result.stdout, result.stderr)


def test_hide_keeps_the_output_to_itself(
    gpu: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    assert gpu.run("echo said; echo oh >&2", hide=True).stdout == "said\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pty", [False, True])
@pytest.mark.parametrize("code", [1, 3, 127, 255])
def test_an_exit_code_is_the_commands_own(gpu: Connection, code: int, pty: bool) -> None:
    with pytest.raises(UnexpectedExit) as caught:
        gpu.run(f"echo words; exit {code}", hide=True, pty=pty)
    assert caught.value.result.exited == code
    assert caught.value.result.stdout.splitlines() == ["words"]


def test_warn_returns_what_failed(gpu: Connection) -> None:
    assert gpu.run("exit 255", warn=True).exited == 255


def test_a_command_that_a_signal_ends_is_no_lost_connection(gpu: Connection) -> None:
    assert gpu.run("kill -9 $$", warn=True).exited == 255
    assert gpu.run("echo still", hide=True).stdout == "still\n"


def test_a_code_is_the_commands_own_where_the_login_can_not_be_shared(
    gpu: Connection, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ssh, "connect", lambda self: None)
    before = logins(sshd)
    assert gpu.run("exit 255", warn=True).exited == 255
    assert gpu.run("kill -9 $$", warn=True).exited == 255
    assert logins(sshd) == before + 2
    assert not gpu.is_connected


def test_a_lost_connection_is_told_even_if_exit_codes_are_not_minded(gpu: Connection) -> None:
    gpu.open()
    end = threading.Timer(1, gpu.ssh.close)
    end.start()
    with pytest.raises(ConnectError, match="connection was lost"):
        gpu.run("sleep 60", warn=True)
    end.join()


def test_the_command_is_read_by_the_login_shell(
    gpu: Connection, shell: Callable[[str], None]
) -> None:
    shell("fish")
    assert gpu.run("set x (echo a); echo $x$x; echo $FISH_VERSION", hide=True).stdout[:3] == "aa\n"


def test_letters_survive_at_the_seams_of_long_outputs(gpu: Connection) -> None:
    text = "é€😀" * 100_000
    result = gpu.run("python3 -c \"print('é€😀' * 100000)\"", hide=True)
    assert result.stdout == text + "\n"


def test_cd_and_prefix_hold_for_the_block(gpu: Connection, sshd: PrivateSshd, here: str) -> None:
    (sshd.home / here / "two words").mkdir()
    with gpu.cd(here), gpu.cd("two words"), gpu.prefix("WORD=set"):
        result = gpu.run("echo $WORD; pwd", hide=True)
    assert result.stdout == f"set\n{sshd.home / here / 'two words'}\n"
    assert gpu.run("echo $WORD; pwd", hide=True).stdout == f"\n{sshd.home}\n"


def test_the_target_is_at_hand(gpu: Connection, sshd: PrivateSshd) -> None:
    (sshd.home / "proj").mkdir(exist_ok=True)
    with gpu.cd(gpu.target.path):
        assert gpu.run("pwd", hide=True).stdout == f"{sshd.home}/proj\n"


def test_a_command_can_be_left_running_and_met_again(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    wait = f"until test -e {here}/go; do sleep 0.1; done"
    promise = gpu.run(f"{wait}; echo done; exit 4", asynchronous=True, warn=True)
    (sshd.home / here / "go").touch()
    result = promise.join()
    assert (result.stdout, result.exited) == ("done\n", 4)


def test_a_disowned_command_outlives_the_call(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    wait = f"until test -e {here}/go; do sleep 0.1; done"
    assert gpu.run(f"{wait}; echo chatter; touch {here}/done", disown=True) is None
    assert not (sshd.home / here / "done").exists()
    (sshd.home / here / "go").touch()
    until((sshd.home / here / "done").exists)


@pytest.mark.parametrize("pty", [False, True])
def test_a_timeout_does_not_wait_for_the_command(gpu: Connection, pty: bool) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimedOut) as caught:
        gpu.run("echo begun; sleep 60", timeout=3, hide=True, pty=pty)
    assert time.monotonic() - started < 30
    assert caught.value.result.stdout.splitlines() == ["begun"]


def type_ctrl_c_once_there_is(file: Path) -> None:
    def wait() -> None:
        until(file.exists)
        time.sleep(0.5)  # The command may be up before our side waits for it.
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_ctrl_c_ends_the_wait(gpu: Connection, sshd: PrivateSshd, here: str) -> None:
    type_ctrl_c_once_there_is(sshd.home / here / "up")
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        gpu.run(f"touch {here}/up; sleep 60", hide=True)
    assert time.monotonic() - started < 30


def test_ctrl_c_reaches_a_command_on_a_terminal(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    type_ctrl_c_once_there_is(sshd.home / here / "up")
    command = f"trap 'echo caught; exit 5' INT; touch {here}/up; sleep 60"
    result = gpu.run(command, hide=True, pty=True, warn=True)
    assert "caught" in result.stdout and result.exited == 5


# The environment


@pytest.mark.parametrize("name", ["bash", "dash", "zsh", "csh", "tcsh", "fish"])
def test_values_arrive_letter_by_letter_in_every_shell(
    gpu: Connection, sshd: PrivateSshd, shell: Callable[[str], None], name: str
) -> None:
    shell(name)
    command = "python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    seen = json.loads(gpu.run(command, env=VALUES, hide=True).stdout)
    assert {key: seen.get(key) for key in VALUES} == {k: str(v) for k, v in VALUES.items()}
    assert seen["HOME"] == str(sshd.home)
    assert not (sshd.home / "hit").exists()


def test_the_command_keeps_its_shell_and_its_quotes_beside_an_environment(
    gpu: Connection, shell: Callable[[str], None]
) -> None:
    shell("fish")
    command = 'set x "it\'s"\necho $x $A; echo $FISH_VERSION; exit 9'
    result = gpu.run(command, env={"A": "b c"}, hide=True, warn=True)
    said, version = result.stdout.splitlines()
    assert said == "it's b c" and version and result.exited == 9


def test_nothing_of_our_own_environment_is_sent(
    gpu: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "of ours")
    result = gpu.run("echo ${A_SECRET:-none} $A", env={"A": "1"}, replace_env=False, hide=True)
    assert result.stdout == "none 1\n"


@pytest.mark.parametrize("name", ["", "A B", "A=B", "x;touch hit", "-i", "1A", "A\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="environment variable"):
        with_environment("true", {name: "x"})


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        with_environment("true", {"A": "x\0y"})


# Standard input, terminals


def test_bytes_arrive_as_they_were(gpu: Connection) -> None:
    data = os.urandom(300_000)
    result = gpu.run("sha256sum", in_stream=io.BytesIO(data), hide=True)
    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_text_and_files_arrive(gpu: Connection, tmp_path: Path) -> None:
    assert gpu.run("cat", in_stream=io.StringIO("é\nzwei"), hide=True).stdout == "é\nzwei"
    (tmp_path / "given").write_text("from a file\n")
    with open(tmp_path / "given") as file:
        assert gpu.run("cat", in_stream=file, hide=True).stdout == "from a file\n"


def test_without_input_a_reader_finds_the_end(gpu: Connection) -> None:
    assert gpu.run("cat; echo end", in_stream=False, hide=True, timeout=10).stdout == "end\n"


def test_a_terminal_is_made_there(gpu: Connection) -> None:
    gpu.config.run.in_stream = False
    result = gpu.run("test -t 0 && test -t 1 && stty size; echo oh >&2; stty", pty=True, hide=True)
    assert result.stdout.startswith("24 80\r\noh\r\nspeed")
    assert "-isig" not in result.stdout and "-echo" not in result.stdout
    assert gpu.run("test -t 0 || test -t 1 || echo none", hide=True).stdout == "none\n"


def test_a_terminal_is_told_nothing_of_sshs_own(gpu: Connection) -> None:
    assert gpu.run("printf only", pty=True, hide=True).stdout == "only"


def test_what_is_typed_ahead_appears_once(gpu: Connection) -> None:
    result = gpu.run("read x; echo =$x", in_stream=io.StringIO("word\n"), pty=True, hide=True)
    assert result.stdout == "word\r\n=word\r\n"


@pytest.mark.parametrize("pty", [False, True])
def test_a_watcher_answers_a_question(gpu: Connection, pty: bool) -> None:
    result = gpu.run(
        "printf 'Name? '; read name; echo \"Hello $name.\"",
        watchers=[Responder(r"Name\? ", "~.Ada\n")],
        in_stream=False,
        pty=pty,
        hide=True,
    )
    assert "Hello ~.Ada." in result.stdout


def test_shell_is_an_interactive_login(gpu: Connection) -> None:
    result = gpu.shell(in_stream=io.StringIO("echo $((6*7)); exit 3\n"))
    assert "42" in result.stdout and result.exited == 3 and result.pty


def test_shell_takes_an_environment(gpu: Connection) -> None:
    result = gpu.shell(env={"A": "it's"}, in_stream=io.StringIO('echo "<$A>"; exit\n'))
    assert "<it's>" in result.stdout


SUDO = """#!/bin/bash
# -S -p prompt --preserve-env=names command
prompt=$3; shift 3
[[ $1 == --preserve-env=* ]] && shift
printf '%s' "$prompt" >&2; read -r given
if [ "$given" != sesame ]; then echo "Sorry, try again." >&2; sleep 10; exit 1; fi
AS_ROOT=yes exec "$@"
"""


def test_sudo_gives_the_password(gpu: Connection, programs: Path) -> None:
    (programs / "sudo").write_text(SUDO)
    (programs / "sudo").chmod(0o755)
    result = gpu.sudo(
        "printenv AS_ROOT A", password="sesame", env={"A": "$x"}, in_stream=False, hide=True
    )
    assert result.stdout == "yes\n$x\n"
    with pytest.raises(AuthFailure):
        gpu.sudo("true", password="wrong", in_stream=False, hide=True)


# The login


def test_no_paramiko_transport_is_made(gpu: Connection, sshd: PrivateSshd) -> None:
    gpu.run("true")
    gpu.sftp().listdir(".")
    plain = fabric.Connection("127.0.0.1", port=sshd.port)
    with pytest.raises(AssertionError, match="a paramiko transport was made"):
        plain.run("true")
    with pytest.raises(NotImplementedError):
        gpu.create_session()


def test_one_login_serves_all(
    gpu: Connection, make: Callable[..., Connection], sshd: PrivateSshd, here: str
) -> None:
    before = logins(sshd)
    gpu.run("true")
    assert logins(sshd) == before + 1
    gpu.run("tty", pty=True, hide=True)
    gpu.put(io.BytesIO(b"x"), f"{here}/x")
    make(sshd.config).run("true")
    assert logins(sshd) == before + 1


def test_a_block_ends_and_the_login_stays(
    gpu: Connection, make: Callable[..., Connection], sshd: PrivateSshd
) -> None:
    running = gpu.run("sleep 2; echo undisturbed", asynchronous=True)
    before = logins(sshd)
    with make(sshd.config) as other:
        other.run("true")
        session = other.sftp()
        assert other.is_connected
    assert session.ended and not other.is_connected
    assert running.join().stdout == "undisturbed\n"
    assert gpu.is_connected
    other.run("true")
    assert other.is_connected and logins(sshd) == before


def test_is_connected_follows_the_login(gpu: Connection) -> None:
    assert not gpu.is_connected
    gpu.open()
    assert gpu.is_connected
    gpu.ssh.close()
    until(lambda: not gpu.is_connected)
    gpu.run("true")
    assert gpu.is_connected


def test_fabric_reads_no_ssh_config(
    isolated: Path, make: Callable[..., Connection], sshd: PrivateSshd
) -> None:
    (isolated / ".ssh").mkdir()
    (isolated / ".ssh" / "config").write_text("Host gpu\n HostName elsewhere\n Port 1\n User no\n")
    connection = make(sshd.config)
    assert (connection.host, connection.port) == ("gpu", 22)
    assert connection.user != "no"
    assert connection.run("echo here", hide=True).stdout == "here\n"


@pytest.mark.parametrize("known", ["another key", "none"])
def test_a_wrong_host_key_is_refused(
    make: Callable[..., Connection],
    own_config: Callable[..., Path],
    sshd: PrivateSshd,
    known: str,
) -> None:
    other = (sshd.folder / "client_key.pub").read_text().split()[:2]
    line = f"[127.0.0.1]:{sshd.port} {' '.join(other)}\n"
    config = own_config("config", str(sshd.folder / "known_hosts"), str(sshd.folder / "others"))
    (sshd.folder / "others").write_text(line if known == "another key" else "")
    connection = make(config)
    for use in (lambda: connection.run("true"), lambda: connection.get("x"), connection.sftp):
        with pytest.raises(ConnectError, match="host key of gpu"):
            use()


def test_an_unknown_host_is_told(
    make: Callable[..., Connection], own_config: Callable[..., Path]
) -> None:
    config = own_config("config", "HostName 127.0.0.1", "HostName nowhere.invalid")
    with pytest.raises(ConnectError, match="'gpu' is not known"):
        make(config).run("true", warn=True)


def test_a_server_without_sftp_is_told(
    make: Callable[..., Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.sshd.SFTP_SERVERS", ())
    with running(PrivateSshd(tmp_path / "sshd", tmp_path / "there")) as server:
        connection = make(server.config)
        assert connection.run("echo here", hide=True).stdout == "here\n"
        with pytest.raises(ConnectError, match="does not answer to SFTP"):
            connection.get("x", tmp_path / "x")


# connect()


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "tasks.py").touch()
    monkeypatch.chdir(root / "src")
    return root


def test_connect_finds_the_projects_server(
    in_project: Path, sshd: PrivateSshd, gpu: Connection
) -> None:
    (in_project / ".env").write_text(f"TARGET_DIR=gpu:proj\nREMOTE_SSH_CONFIG={sshd.config}\n")
    with connect() as server:
        assert server.run("pwd", hide=True).stdout == f"{sshd.home}\n"
        assert server.target.path == "proj" and server.ssh == gpu.ssh


def test_connect_takes_a_target(
    in_project: Path, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET_DIR", "wrong:proj")
    monkeypatch.setenv("REMOTE_SSH_CONFIG", str(sshd.config))
    with connect("gpu6:other") as server:
        assert server.run("echo $SSH_CONNECTION", hide=True).stdout.startswith("::1 ")
    server.ssh.close()


def test_connect_needs_a_server(in_project: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no server to connect to"):
        connect(str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="TARGET_DIR is not set"):
        connect()


# Files


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_there_and_comes_back_whatever_its_name(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path, name: str
) -> None:
    source = tmp_path / "from" / name
    source.parent.mkdir()
    source.write_bytes(b"what it says\n")
    source.chmod(0o640)
    sent = gpu.put(str(source), f"{here}/{name}")
    assert (sshd.home / here / name).read_bytes() == b"what it says\n"
    assert (sshd.home / here / name).stat().st_mode & 0o777 == 0o640
    assert isinstance(sent, fabric.transfer.Result)
    assert sent.remote == f"{sshd.home}/{here}/{name}"

    (tmp_path / "back").mkdir()
    got = gpu.get(f"{here}/{name}", tmp_path / "back" / name)
    assert (tmp_path / "back" / name).read_bytes() == b"what it says\n"
    assert (tmp_path / "back" / name).stat().st_mode & 0o777 == 0o640
    assert got.local == str(tmp_path / "back" / name) and got.connection is gpu
    assert not (sshd.home / "hit").exists()


def test_names_default_to_the_files_own(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"{here} {{braces}}"
    Path(name).write_text("own")
    try:
        gpu.put(name)
        assert (sshd.home / name).read_text() == "own"
        gpu.put(Path(name), here)
        assert (sshd.home / here / name).read_text() == "own"
        Path(name).unlink()
        gpu.get(f"{here}/{name}")
        assert Path(name).read_text() == "own"
    finally:
        (sshd.home / name).unlink()


def test_get_fills_in_the_place(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path
) -> None:
    (sshd.home / here / "x").write_text("y")
    gpu.get(f"{here}/x", f"{tmp_path}/{{host}}/")
    assert (tmp_path / "gpu" / "x").read_text() == "y"
    (tmp_path / "{host}").mkdir()
    gpu.get(f"{here}/x", tmp_path / "{host}")
    assert (tmp_path / "{host}" / "x").read_text() == "y"


def test_objects_in_memory_go_and_come(gpu: Connection, sshd: PrivateSshd, here: str) -> None:
    gpu.put(io.BytesIO(b"\0\xff"), f"{here}/object")
    assert (sshd.home / here / "object").read_bytes() == b"\0\xff"
    back = io.BytesIO()
    gpu.get(f"{here}/object", back)
    assert back.getvalue() == b"\0\xff"


def test_a_large_file_goes_there_and_comes_back(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20) * 24
    (tmp_path / "large").write_bytes(data)
    gpu.put(tmp_path / "large", f"{here}/large")
    assert (sshd.home / here / "large").read_bytes() == data
    gpu.get(f"{here}/large", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == data


def test_folders_are_refused(gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="put sends single files"):
        gpu.put(tmp_path, here)
    with pytest.raises(IsADirectoryError, match="get brings single files"):
        gpu.get(here, tmp_path / "folder")
    assert not (tmp_path / "folder").exists() and not list((sshd.home / here).iterdir())


def test_a_file_that_is_missing_is_named_and_nothing_is_overwritten(
    gpu: Connection, here: str, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(FileNotFoundError, match=f"{here}/missing"):
        gpu.get(f"{here}/missing", tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "kept"
    with pytest.raises(FileNotFoundError, match="no folder"):
        gpu.put(tmp_path / "kept", f"{here}/no folder/x")
    with pytest.raises(FileNotFoundError, match="not here"):
        gpu.put(tmp_path / "not here", here)


def test_a_transfer_survives_a_login_that_was_lost_before_it(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    gpu.put(io.BytesIO(b"1"), f"{here}/x")
    session = gpu.sftp()
    gpu.ssh.close()
    until(lambda: session.ended)
    gpu.put(io.BytesIO(b"2"), f"{here}/x")
    assert (sshd.home / here / "x").read_bytes() == b"2"


def test_a_transfer_whose_login_is_lost_is_told(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    class Endless(io.BytesIO):
        """Gives until the connection is gone."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0:
                gpu.ssh.close()
            return b"x" * max(size or 1, 1)

        def seek(self, *args: int) -> int:
            return 0

    with pytest.raises(ConnectError, match="connection was lost"):
        gpu.put(Endless(), f"{here}/endless")


# Forwarded ports


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


@pytest.fixture
def service() -> Iterator[int]:
    """The port of a small server on this machine, which is the GPU server, too."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port: int, words: bytes = b"hello\n") -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(words)
        return wire.makefile("rb").readline()


def test_a_local_port_leads_there_for_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    with gpu.forward_local(port, service):
        assert [ask(port) for _ in range(3)] == [b"HELLO\n"] * 3
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    assert gpu.run("echo still", hide=True).stdout == "still\n"


def test_a_forward_ends_with_an_error_in_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    with pytest.raises(ZeroDivisionError):
        with gpu.forward_local(port, service, remote_host="127.0.0.1"):
            ask(port)
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_port_that_is_taken_is_told(gpu: Connection, service: int) -> None:
    with pytest.raises(ConnectError, match="can't be forwarded"):
        with gpu.forward_local(service, free_port()):
            pytest.fail("it was forwarded")
    with pytest.raises(ConnectError, match="can't be forwarded"):
        with gpu.forward_remote(service, free_port()):
            pytest.fail("it was forwarded")


def test_a_remote_port_leads_here_for_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    asking = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo hello >&3 && cat <&3"
    with gpu.forward_remote(port, service):
        assert gpu.run(asking, hide=True).stdout == "HELLO\n"
    assert gpu.run(asking, hide=True, warn=True).failed


def test_a_forward_lives_longer_than_an_unused_login(
    make: Callable[..., Connection],
    own_config: Callable[..., Path],
    service: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote.transport.ssh, "PERSIST", 1)
    connection, port = make(own_config("config")), free_port()
    with connection.forward_local(port, service):
        time.sleep(3)
        assert ask(port) == b"HELLO\n"
    until(lambda: not connection.is_connected)


def test_the_users_own_forwards_stay_out_of_it(
    make: Callable[..., Connection], own_config: Callable[..., Path], service: int
) -> None:
    theirs, ours = free_port(), free_port()
    line = f"Host gpu\n  LocalForward {theirs} 127.0.0.1:{service}\n"
    connection = make(own_config("config", "Host gpu\n", line))
    with connection.forward_local(ours, service):
        assert ask(ours) == b"HELLO\n"
        with pytest.raises(ConnectionRefusedError):
            ask(theirs)


# Groups


@pytest.mark.parametrize("kind", [fabric.SerialGroup, fabric.ThreadingGroup])
def test_a_group_runs_on_all(
    make: Callable[..., Connection],
    sshd: PrivateSshd,
    here: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[fabric.Group],
) -> None:
    monkeypatch.chdir(tmp_path)
    members = [make(sshd.config), make(sshd.config, "gpu6")]
    (sshd.home / here / "x").write_text("y")
    with kind.from_connections(members) as group:
        said = {one.host: result.stdout for one, result in group.run("echo a", hide=True).items()}
        assert said == {"gpu": "a\n", "gpu6": "a\n"}
        group.get(f"{here}/x")
        assert Path("gpu/x").read_text() == Path("gpu6/x").read_text() == "y"
    assert not any(member.is_connected for member in members)


def test_one_name_in_two_configurations_is_two_servers(
    make: Callable[..., Connection], own_config: Callable[..., Path]
) -> None:
    members = [make(own_config(f"config{number}")) for number in range(3)]
    group = fabric.ThreadingGroup.from_connections(members)
    assert set(group.run("true", hide=True)) == set(members) and len(set(members)) == 3


def test_a_group_tells_which_failed(
    make: Callable[..., Connection], own_config: Callable[..., Path], gpu: Connection
) -> None:
    lost = make(own_config("config", "HostName 127.0.0.1", "HostName nowhere.invalid"))
    group = fabric.ThreadingGroup.from_connections([gpu, lost])
    with pytest.raises(fabric.exceptions.GroupException) as caught:
        group.run("true", hide=True)
    assert set(caught.value.result.succeeded) == {gpu}
    assert isinstance(caught.value.result.failed[lost], ConnectError)
