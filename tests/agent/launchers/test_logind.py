"""logind that kills at logout: as it says of itself, and what is done about it."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.launchers import logind
from remote.errors import JobError

ALICE = pwd.struct_passwd(("alice", "x", 1234, 1234, "", "/home/alice", "/bin/sh"))
LOGIN = "0::/user.slice/user-1234.slice/session-7.scope\n"
SCOPE = ["systemd-run", "--user", "--scope", "--quiet"]


@dataclass
class Machine:
    """A server with systemd; its programs write down how they were called."""

    root: Path
    bin: Path

    def program(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "$0 $*" >> "{self.root}/calls"\n{body}\n')
        path.chmod(0o755)

    def answer(self, kill: str, only: str = "0", excluded: str = "0") -> None:
        """What logind says of its settings."""
        self.program("busctl", f"echo 'b {kill}'; echo 'as {only}'; echo 'as {excluded}'")

    def belongs(self, pid: int, group: str) -> None:
        folder = self.root / "proc" / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup").write_text(group)

    @property
    def calls(self) -> str:
        calls = self.root / "calls"
        return calls.read_text() if calls.exists() else ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One where logind kills; alice, logged in, may neither linger nor have a scope."""
    made = Machine(tmp_path / "machine", tmp_path / "bin")
    (made.root / "linger").mkdir(parents=True)
    made.bin.mkdir()
    made.program("loginctl", "exit 1")
    made.program("systemd-run", "exit 1")
    made.answer("true")
    made.belongs(os.getpid(), LOGIN)
    monkeypatch.setattr(logind, "BOOTED", made.root)
    monkeypatch.setattr(logind, "LINGER", made.root / "linger")
    monkeypatch.setattr(logind, "PROC", made.root / "proc")
    monkeypatch.setattr(logind, "me", lambda: ALICE)
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    return made


# Does it kill?


@pytest.mark.parametrize(
    ("kill", "only", "excluded", "killed"),
    [
        ("true", "0", "0", True),
        ("true", "0", '1 "bob"', True),
        ("true", "0", '2 "bob" "alice"', False),
        ("true", '1 "bob"', "0", False),
        ("true", '2 "bob" "alice"', "0", True),
        ("true", '1 "alice"', '1 "alice"', False),
        ("false", "0", "0", False),
        ("false", '1 "alice"', "0", True),
    ],
)
def test_logind_tells_whom_it_kills(
    machine: Machine, kill: str, only: str, excluded: str, killed: bool
) -> None:
    machine.answer(kill, only, excluded)
    assert logind.kills(ALICE) is killed


def test_root_is_left_alone_unless_others_are_named(machine: Machine) -> None:
    root = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "/bin/sh"))
    assert not logind.kills(root)
    machine.answer("true", excluded='1 "bob"')
    assert logind.kills(root)


def test_a_logind_that_can_not_be_asked_kills_nobody(machine: Machine) -> None:
    machine.program("busctl", "exit 1")
    assert not logind.kills(ALICE)


# What is done about it


def test_on_an_ordinary_server_only_logind_is_asked(machine: Machine) -> None:
    machine.answer("false")

    def no_server() -> int | None:
        raise AssertionError("tmux was asked")

    assert logind.wrap(no_server) == [] and machine.calls.count("\n") == 1


def test_without_systemd_there_is_nothing_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logind, "BOOTED", machine.root / "not there")
    assert logind.wrap(lambda: None) == [] and machine.calls == ""


def test_a_process_outside_of_any_login_is_not_killed(machine: Machine) -> None:
    machine.belongs(os.getpid(), "0::/system.slice/ssh.service\n")
    assert logind.wrap(lambda: None) == []


def test_who_lingers_gets_a_scope(machine: Machine) -> None:
    (machine.root / "linger/alice").touch()
    machine.program("systemd-run", 'shift 3; exec "$@"')
    assert logind.wrap(lambda: None)[-4:] == SCOPE
    assert "loginctl" not in machine.calls


def test_who_may_linger_does_from_now_on(machine: Machine) -> None:
    machine.program("loginctl", "exit 0")
    machine.program("systemd-run", 'shift 3; exec "$@"')
    assert logind.wrap(lambda: None)[-4:] == SCOPE
    assert "loginctl --no-ask-password enable-linger\n" in machine.calls


def test_who_may_not_is_told_what_an_administrator_has_to_run(machine: Machine) -> None:
    with pytest.raises(JobError) as caught:
        logind.wrap(lambda: None)
    assert "alice" in caught.value.message and "KillUserProcesses" in caught.value.message
    assert "sudo loginctl enable-linger alice" in caught.value.hint


def test_a_manager_that_can_not_be_reached_is_told_before_the_job_starts(machine: Machine) -> None:
    (machine.root / "linger/alice").touch()
    with pytest.raises(JobError, match="systemd-run"):
        logind.wrap(lambda: None)


def test_systemd_run_finds_the_manager_in_a_login_without_a_terminal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.root / "linger/alice").touch()
    runtime = machine.root / "runtime"
    runtime.mkdir()
    monkeypatch.setattr(logind, "RUNTIME", machine.root)
    monkeypatch.setattr(logind.os, "getuid", lambda: "runtime")
    machine.program("systemd-run", f'test "$XDG_RUNTIME_DIR" = "{runtime}"')
    assert logind.wrap(lambda: None) == ["env", f"XDG_RUNTIME_DIR={runtime}", *SCOPE]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert logind.wrap(lambda: None) == SCOPE


def test_a_tmux_server_that_survives_is_used_as_it_is(machine: Machine) -> None:
    manager = "0::/user.slice/user-1234.slice/user@1234.service/app.slice/run-r1.scope\n"
    machine.belongs(77, manager)
    assert logind.wrap(lambda: 77) == []


def test_a_tmux_server_that_will_be_killed_is_refused(machine: Machine) -> None:
    machine.belongs(77, "12:cpu:/\n1:name=systemd:/user.slice/user-1234.slice/session-3.scope\n")
    (machine.root / "linger/alice").touch()
    with pytest.raises(JobError, match="ends with the login"):
        logind.wrap(lambda: 77)
    machine.answer("false")
    assert logind.wrap(lambda: 77) == []


def test_the_real_logind_can_be_asked() -> None:
    if not logind.BOOTED.is_dir() or not shutil.which("busctl"):
        pytest.skip("systemd does not run this machine")
    said = processes.answer(["busctl", "--system", *logind._QUESTION])
    assert said and len(said.splitlines()) == 3


def test_who_has_no_name_here_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert (logind.me().pw_name, logind.me().pw_uid) == (str(os.getuid()), os.getuid())
