"""Bytes to and from a server: any login shell, an old Python or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remote.errors import (
    ConnectError,
    TargetError,
)
from remote.job.messages.jobs import JobsRequest
from remote.rpc import bundle, wire
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire, SshWire
from remote.transport.process import Result
from remote.transport.ssh import Ssh
from tests.rpc.calls import KEY, installed_python, prepare

# Over ssh


WIRE = SshWire(Ssh("me@gpu"))


@pytest.mark.parametrize(
    "stderr",
    [
        "sh: 1: exec: python3: not found",
        "bash: line 1: exec: python3: not found",
        "zsh:1: command not found: python3",
        "fish: Unknown command: python3",
        "python3: Command not found.",
        "exec: python3: No such file or directory",
        "ksh: python3: cannot execute [No such file or directory]",
        "bash: Zeile 1: exec: python3: Nicht gefunden.",
    ],
)
def test_a_server_without_python_is_told_with_the_remedy(stderr: str) -> None:
    error = WIRE.failure(Result(127, b"", stderr))
    assert isinstance(error, TargetError) and "lacks python3" in error.message
    assert "install" in error.hint


def test_ssh_failing_is_told_by_ssh() -> None:
    error = WIRE.failure(Result(255, b"", "me@gpu: Permission denied (publickey)."))
    assert isinstance(error, ConnectError) and "refuses" in error.message


SHELLS = ["sh", "bash", "dash", "fish", "zsh", "csh", "tcsh"]


def fake_ssh(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that runs the command here, by that login shell; the folder it lies in."""
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not installed")
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nfor last; do :; done\ncd "$HOME"\nexec {found} -c "$last"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return fake.parent


def test_the_words_that_a_login_shell_reads_are_plain() -> None:
    command = WIRE.agent("agent-0.zip")[-1]
    assert re.fullmatch(r"exec sh -c '[\w./;$\[\]|&= -]+'", command)
    assert f" a={wire.CACHE}/agent-0.zip;" in command and command.endswith(
        "exec $p -X utf8 -IS $a'"
    )
    assert WIRE.agent("agent-0.zip", "ask", "00")[-1] == f"{command[:-1]} ask 00'"


@pytest.mark.parametrize("shell", SHELLS)
def test_any_login_shell_can_put_a_file(
    shell: str, tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(shell, tmp_path, monkeypatch)
    WIRE.bring("bin/uv", b"\0\xff'$(x)\n" * 1000)
    put = isolated / wire.CACHE / "bin" / "uv"
    assert put.read_bytes() == b"\0\xff'$(x)\n" * 1000
    assert put.stat().st_mode & 0o777 == 0o700
    left = [path.name for path in (isolated / wire.CACHE).iterdir()]
    assert left == ["bin"]


def test_a_file_that_can_not_be_put_is_told(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh("sh", tmp_path, monkeypatch)
    (isolated / ".cache").write_text("a file")
    with pytest.raises(TargetError, match="can't be put on the server"):
        WIRE.bring("agent-0.zip", b"x")


# A server whose python3 is old, or missing

OLD = """\
#!/bin/sh
# A Python 3.6: it says its version, and stops at the first line of ours.
[ "$1" = -X ] && shift 2
[ "$1" = -IS ] && shift
case "$2" in
*print*sys.version_info*) echo 3.6.8; exit ;;
*sys.exit*) exit 1 ;;
esac
test -f "$1" || { echo "python3: can't open file '$1': [Errno 2] No such file" >&2; exit 2; }
echo "  File \\"$1/__main__.py\\", line 3" >&2
echo "SyntaxError: future feature annotations is not defined" >&2
exit 1
"""


class PlainWire(SshWire):
    """A server that needs no login first."""

    def connect(self) -> None:
        pass


PLAIN = PlainWire(Ssh("me@gpu"))


def server_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, shell: str = "sh", **programs: str
) -> Path:
    """A server with the usual tools and these programs on its PATH."""
    folder = fake_ssh(shell, tmp_path, monkeypatch)
    for tool in ("sh", "ls", "cat", "mkdir", "mv", "ln", "rm", "chmod", "rsync", "tmux"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def no_other_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """find_python.sh looks at places outside of any home, too: not in this test."""
    own = tmp_path / "package"
    own.mkdir()
    script = Path(wire.__file__).with_name("find_python.sh").read_text()
    for place_ in ("/usr/local/bin", "/opt/*/bin", "/opt/conda/bin"):
        script = script.replace(f" {place_}", "")
    (own / "find_python.sh").write_text(script)
    monkeypatch.setattr(wire, "FIND_PYTHON", own / "find_python.sh")


@pytest.mark.parametrize("shell", SHELLS)
def test_an_old_python_gives_way_to_a_newer_one(
    shell: str, tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = server_with(tmp_path, monkeypatch, shell=shell, python3=OLD)
    no_other_python(monkeypatch, tmp_path)
    newer = isolated / "miniconda3" / "bin" / "python3.11"
    newer.parent.mkdir(parents=True)
    newer.symlink_to(os.path.realpath(sys.executable))
    caller = Agent(PLAIN)
    assert prepare(caller, tmp_path / "proj").state == "ours"
    found = isolated / wire.CACHE / "python3"
    assert os.path.realpath(found) == os.path.realpath(sys.executable)
    # From now on nothing is looked for, and python3 is not even asked.
    (folder / "python3").write_text("#!/bin/sh\necho asked > asked\nexit 1\n")
    monkeypatch.setattr(wire, "FIND_PYTHON", tmp_path / "nowhere")
    assert Agent(PLAIN).call(JobsRequest(KEY)).jobs == ()
    assert not (isolated / "asked").exists()


@pytest.mark.parametrize("place_", [".local/bin", ".local/share/uv/python/cpython-3.12.1/bin"])
def test_where_there_is_no_python3_one_is_found(
    place_: str, tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_with(tmp_path, monkeypatch)
    no_other_python(monkeypatch, tmp_path)
    newer = isolated / place_ / "python3.12"
    newer.parent.mkdir(parents=True)
    newer.symlink_to(os.path.realpath(sys.executable))
    assert prepare(Agent(PLAIN), tmp_path / "proj").state == "ours"


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"python3": OLD}, "The server's python3 is 3.6.8; the toolkit needs 3.8 or newer."),
        ({}, "The server lacks python3."),
        ({"python3": OLD, "python3.12": "#!/bin/sh\nexit 1\n"}, "is 3.6.8"),
    ],
)
def test_without_a_newer_python_the_remedy_is_told(
    programs: dict[str, str],
    message: str,
    tmp_path: Path,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server_with(tmp_path, monkeypatch, **programs)
    no_other_python(monkeypatch, tmp_path)
    with pytest.raises(TargetError) as caught:
        prepare(Agent(PLAIN), tmp_path / "proj")
    assert message in caught.value.message and "nstall" in caught.value.hint
    assert not (isolated / wire.CACHE / "python3").is_symlink()


def test_a_python_that_is_gone_again_is_looked_for_again(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = server_with(tmp_path, monkeypatch, python3=OLD)
    no_other_python(monkeypatch, tmp_path)
    link = isolated / wire.CACHE / "python3"
    link.parent.mkdir(parents=True)
    link.symlink_to(isolated / "was removed")
    (folder / "python3.11").symlink_to(os.path.realpath(sys.executable))
    assert prepare(Agent(PLAIN), tmp_path / "proj").state == "ours"


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_real_old_python_refuses_the_zip_in_words_that_are_known(
    version: str, tmp_path: Path
) -> None:
    file = tmp_path / "agent.zip"
    file.write_bytes(bundle.packed(bundle.contents()))
    done = subprocess.run(
        [installed_python(version), file], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode and wire._OLD_PYTHON.search(done.stderr), done.stderr


def test_a_file_that_can_not_be_put_on_this_machine_is_told(isolated: Path) -> None:
    (isolated / ".cache").write_text("a file")
    with pytest.raises(TargetError, match="can't be put here"):
        LocalWire().bring("agent-0.zip", b"x")
