"""What one ssh says of itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.connection import Connection
from remote.connection.ssh_command import Log, ssh_argv, with_environment
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd


@pytest.fixture
def log() -> Iterator[Log]:
    with contextlib.closing(Log()) as log:
        yield log


def test_it_never_becomes_a_master_itself() -> None:
    argv = ssh_argv(Ssh("gpu"), "-tt", log="/the log")
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


VALUES = {
    "QUOTES": "it's \"so\" `x` \\ \\\\ \\' !x",
    "DOLLARS": "$HOME $(touch hit) ${HOME} `touch hit` ; touch hit & | * ~ # %s %% \\0101",
    "LINES": "one\ntwo\n\n",
    "WIDE": "é€😀 \t tab",
    "EMPTY": "",
    "NUMBER": 7,
}


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
