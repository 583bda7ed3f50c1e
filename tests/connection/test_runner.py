"""Commands: their output, exit codes, input, terminals, and what ends them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import fabric
import pytest
from invoke.exceptions import AuthFailure, CommandTimedOut, UnexpectedExit
from invoke.watchers import Responder

from remote.connection import Connection
from remote.connection.runner import with_environment
from remote.errors import ConnectError
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd
from tests.waiting import until


def logins(sshd: PrivateSshd) -> int:
    return (sshd.folder / "sshd.log").read_text().count("Accepted publickey")


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
def test_a_timeout_does_not_wait_for_the_command(
    gpu: Connection, sshd: PrivateSshd, here: str, pty: bool
) -> None:
    with pytest.raises(CommandTimedOut) as caught:
        gpu.run(f"echo begun; sleep 60; touch {here}/ended", timeout=3, hide=True, pty=pty)
    assert not (sshd.home / here / "ended").exists()
    assert caught.value.result.stdout.splitlines() == ["begun"]


def type_ctrl_c_once_there_is(file: Path) -> None:
    def wait() -> None:
        until(file.exists)
        time.sleep(0.5)  # The command may be up before our side waits for it.
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_ctrl_c_ends_the_wait(gpu: Connection, sshd: PrivateSshd, here: str) -> None:
    type_ctrl_c_once_there_is(sshd.home / here / "up")
    with pytest.raises(KeyboardInterrupt):
        gpu.run(f"touch {here}/up; sleep 60; touch {here}/ended", hide=True)
    assert not (sshd.home / here / "ended").exists()


def test_ctrl_c_reaches_a_command_on_a_terminal(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    type_ctrl_c_once_there_is(sshd.home / here / "up")
    command = f"trap 'echo caught; exit 5' INT; touch {here}/up; sleep 60"
    result = gpu.run(command, hide=True, pty=True, warn=True)
    assert "caught" in result.stdout and result.exited == 5


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
