"""Calling the agent: frames cut as they come, one zip for one content, errors as they were."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.agent import target_dir
from remote.config import Project
from remote.errors import (
    ConfigError,
    ConnectError,
    JobError,
    ProtocolError,
    RemoteError,
    TargetError,
)
from remote.job.fields import any_json
from remote.job.messages.base import FRAME, Request
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.target import Machine, PrepareAnswer, PrepareRequest
from remote.job.struct import Struct
from remote.operations import bootstrap
from remote.rpc import bundle, client, wire
from remote.rpc.client import Agent, AgentBug, Reader
from remote.rpc.wire import LocalWire, SshWire
from remote.session import TargetSession
from remote.target import Target
from remote.transport import process
from remote.transport.process import Result
from remote.transport.ssh import Ssh

KEY = "0" * 16


def framed(value: dict[str, Any], blob: bytes = b"") -> bytes:
    data = json.dumps(value).encode()
    return b"%s %d %d\n" % (FRAME, len(data), len(blob)) + data + blob


def fed(*pieces: bytes) -> tuple[Reader, bytes, list[dict[str, Any]]]:
    blob, seen = io.BytesIO(), list[dict[str, Any]]()
    reader = Reader(on_answer=seen.append, blob=blob)
    for piece in pieces:
        reader.feed(piece)
    return reader, blob.getvalue(), seen


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# Reading answers


@pytest.mark.parametrize("cut", ["whole", "bytewise"])
@pytest.mark.parametrize(
    ("noise", "values", "blob"),
    [
        (b"", [{"a": 1}], b""),
        (b"", [{"text": "日本\n" + FRAME.decode() + " 1 0\n"}], b""),
        (b"Welcome!\nLast login: today\n", [{"a": 1}], b""),
        (b"no line end", [{"a": 1}], b""),
        (b"\xff\x00==remote-agent", [{"a": 1}], b""),
        (b"", [{"a": 1}, {"a": 2}, {"a": 3}], b""),
        (b"motd\n", [{"a": 1}, {}], b"blob" * 1000),
        (b"", [{"a": 1}], FRAME + b" 2 0\n{}"),
        (b"", [{}], b"\n"),
    ],
)
def test_answers_are_read_however_they_come(
    noise: bytes, values: list[dict[str, Any]], blob: bytes, cut: str
) -> None:
    data = noise + b"".join(framed(value) for value in values[:-1]) + framed(values[-1], blob)
    reader, got, seen = fed(*([data] if cut == "whole" else bytewise(data)))
    assert (seen, got, reader.noise) == (values, blob, noise)
    assert reader.last == values[-1]


def test_an_answer_after_a_blob_is_read() -> None:
    reader, blob, seen = fed(framed({"a": 1}, b"xyz") + framed({"a": 2}, b"!"))
    assert seen == [{"a": 1}, {"a": 2}] and blob == b"xyz!"


def test_a_blob_nobody_wants_is_dropped() -> None:
    reader = Reader()
    reader.feed(framed({"a": 1}, b"xyz") + framed({"a": 2}))
    assert reader.last == {"a": 2}


def test_a_large_blob_passes_through_without_being_held() -> None:
    piece = bytes(1 << 16)
    reader = Reader(blob=io.BytesIO())
    reader.feed(framed({})[: -len(b"{}")].replace(b" 0\n", b" %d\n" % (1 << 22)) + b"{}")
    for _ in range((1 << 22) // len(piece)):
        reader.feed(piece)
        assert len(reader._held) == 0


@pytest.mark.parametrize("cut", range(1, 30))
def test_half_an_answer_is_none_yet(cut: int) -> None:
    reader, _, seen = fed(framed({"a": 1})[:-cut])
    assert seen == [] and reader.last is None


def test_noise_alone_is_no_answer() -> None:
    reader, _, seen = fed(b"bash: python3: command not found\n")
    assert seen == []


def test_noise_that_holds_the_marks_word_is_noise() -> None:
    """A shell that traces its commands, or echoes what was typed, may print it."""
    reader, _, seen = fed(b"+ echo ==remote-agent-answer== is the mark\n" + framed({"a": 1}))
    assert seen == [{"a": 1}]


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1, max_size=4),
    st.binary(max_size=50),
    st.integers(1, 20),
)
def test_any_answers_in_any_pieces(values: list[dict[str, Any]], blob: bytes, step: int) -> None:
    data = b"banner\n" + b"".join(framed(value, blob) for value in values)
    reader, got, seen = fed(*(data[i : i + step] for i in range(0, len(data), step)))
    assert seen == values and got == blob * len(values)


# The agent's file


def test_the_same_files_give_the_same_zip_and_name() -> None:
    files = bundle.contents()
    backwards = dict(reversed(list(files.items())))
    assert bundle.packed(files) == bundle.packed(backwards)
    assert bundle.digest(files) == bundle.digest(backwards)


def test_the_zip_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from remote.rpc import bundle as agent;"
        " print(hashlib.sha256(agent.packed(agent.contents())).hexdigest())"
    )
    root = str(Path(client.__file__).parents[2])
    done = process.run([sys.executable, "-c", code], cwd=Path(root))
    own = hashlib.sha256(bundle.packed(bundle.contents())).hexdigest()
    assert done.stdout.decode().strip() == own, done.stderr


def test_any_change_gives_another_name() -> None:
    base = {"a": b"xy", "b": b""}
    others = [{"a": b"xyz", "b": b""}, {"a": b"x", "b": b"y"}, {"ab": b"xy"}, {"a": b"xy"}, {}]
    names = {bundle.digest(files) for files in [base, *others]}
    assert len(names) == len(others) + 1


def test_the_zip_holds_the_agent_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle.packed(bundle.contents()))).namelist()
    assert (
        "__main__.py" in names
        and "remote/agent/main.py" in names
        and "remote/job/paths.py" in names
    )
    for name in names:
        laptops = ("tasks", "operations", "programs", "transport", "rpc", "connection", "adopt")
        laptops += ("tracking/export", "tracking/check", "session", "config", "output")
        assert not name.startswith(tuple(f"remote/{part}" for part in laptops)), name
        assert "__pycache__" not in name


def test_the_zip_is_small_enough_to_be_sent_over_any_line() -> None:
    files = bundle.contents()
    assert len(bundle.packed(files)) < 0.5 * sum(map(len, files.values()))


#: What modules of the runtime find in a job's environment, and the agent never has.
OF_JOBS = ("hydra", "mlflow", "optuna", "omegaconf", "jupyter_server", "tensorboard")

IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[3:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in sys.argv[2].split():
            raise
"""


@pytest.mark.parametrize("version", ["", "3.8"])
def test_every_module_that_is_carried_finds_what_it_imports(tmp_path: Path, version: str) -> None:
    """As on a server: nothing of the laptop's, nothing that is installed."""
    data = bundle.packed(bundle.contents())
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
    files = (path for path in tmp_path.glob("remote/**/*.py") if path.name != "__init__.py")
    names = [".".join(path.relative_to(tmp_path).with_suffix("").parts) for path in files]
    python = str(installed_python(version)) if version else sys.executable
    argv = [python, "-IS", "-c", IMPORT_ALL, str(tmp_path), " ".join(OF_JOBS), *names]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert len(names) > 80 and done.returncode == 0, done.stderr


def installed_python(version: str) -> Path:
    """A Python of that version, where pyenv has put one into the account's own home."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    found = sorted(home.glob(f".pyenv/versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"there is no Python {version} in ~/.pyenv/versions")
    return found[0]


@dataclass(frozen=True)
class OldWire(LocalWire):
    """This machine, with another Python."""

    python: str = ""

    def agent(self, name: str) -> list[str]:
        return [self.python, "-W", "error", *super().agent(name)[1:]]


def prepare(caller: Agent, path: Path) -> PrepareAnswer:
    return caller.call(PrepareRequest(path=str(path), key=KEY, project="a" * 32))


def test_the_oldest_python_runs_the_zip(tmp_path: Path, isolated: Path) -> None:
    caller = Agent(OldWire(python=str(installed_python("3.8"))))
    answer = prepare(caller, tmp_path / "proj")
    assert answer.state == "ours" and answer.platform.python == "3.8"
    assert (isolated / wire.CACHE / caller.name).is_file()
    assert caller.call(JobsRequest(KEY)).jobs == ()


def test_the_agent_is_brought_once(tmp_path: Path, isolated: Path) -> None:
    caller = Agent(LocalWire())
    file = isolated / wire.CACHE / caller.name
    assert not file.exists()
    prepare(caller, tmp_path / "proj")
    made = file.stat()
    prepare(caller, tmp_path / "proj")
    assert file.stat().st_ino == made.st_ino and made.st_mode & 0o777 == 0o700


# What comes back


class Answer(Struct):
    given: Any = any_json(1 << 30)


class Ask(Request[Answer]):
    verb = "ask"
    answer = Answer

    value: Any = any_json(1 << 30, default=None)


@dataclass(frozen=True)
class Scripted(LocalWire):
    """A machine whose agent is this Python code."""

    code: str = ""

    def agent(self, name: str) -> list[str]:
        return [sys.executable, "-c", self.code]


def answering(value: dict[str, Any], *, noise: bytes = b"", blob: bytes = b"") -> Agent:
    data = noise + framed(value, blob)
    return Agent(Scripted(f"import sys; sys.stdout.buffer.write({data!r})"))


@pytest.mark.parametrize("kind", [ConfigError, TargetError, JobError])
def test_an_error_comes_back_as_the_same_error(kind: type[RemoteError]) -> None:
    error = {"kind": kind.__name__, "message": "日本 m", "hint": "h"}
    with pytest.raises(kind) as caught:
        answering({"error": error}).call(Ask())
    assert (caught.value.message, caught.value.hint) == ("日本 m", "h")


@pytest.mark.parametrize("kind", ["NewerError", "annotations", "__doc__", "__name__"])
def test_an_unknown_kind_of_error_is_an_error_all_the_same(kind: str) -> None:
    with pytest.raises(RemoteError, match="what happened"):
        answering({"error": {"kind": kind, "message": "what happened", "hint": ""}}).call(Ask())


def test_a_bug_comes_back_as_a_bug() -> None:
    with pytest.raises(AgentBug, match="Traceback of the agent"):
        answering({"bug": "Traceback of the agent"}).call(Ask())
    with pytest.raises(AgentBug) as caught:
        answering({"bug": "line\n\x1b[2Jline"}).call(Ask())
    assert str(caught.value) == "\nline\n\\x1b[2Jline"


def test_the_real_agent_tells_its_errors(tmp_path: Path, isolated: Path) -> None:
    with pytest.raises(TargetError, match="home directory"):
        prepare(Agent(LocalWire()), isolated)
    with pytest.raises(TargetError, match="not pushed to yet"):
        Agent(LocalWire()).call(JobsRequest(KEY))


def test_the_real_agent_refuses_what_it_does_not_know(isolated: Path) -> None:
    with pytest.raises(ProtocolError, match="no verb 'ask'"):
        Agent(LocalWire()).call(Ask())


def test_noise_is_noticed() -> None:
    for noise, noisy in ((b"", False), (b"  \n", False), (b"Welcome\n", True)):
        caller = answering({"given": {"a": 1}}, noise=noise)
        assert caller.noisy is None
        assert caller.call(Ask()) == Answer({"a": 1})
        assert caller.noisy is noisy


def test_a_blob_comes_back(tmp_path: Path) -> None:
    with open(tmp_path / "blob", "w+b") as file:
        answering({"given": {"a": 1}}, blob=b"x" * 100_000).call(Ask(), blob=file)
        assert file.tell() == 100_000


def test_a_request_arrives_as_it_was_given() -> None:
    code = (
        "import sys, json; given = json.load(sys.stdin)\n"
        "data = json.dumps({'given': given}).encode()\n"
        f"sys.stdout.buffer.write(b'%s %d 0\\n' % ({FRAME!r}, len(data)) + data)"
    )
    value = ["$(x)", "'\"", "a\nb", "日本", "-x", "x" * 100_000, "\udcff", None, 1.5]
    answer = Agent(Scripted(code)).call(Ask(value))
    assert answer.given == {"verb": "ask", "value": value}


@pytest.mark.parametrize(
    "code",
    ["", "import sys; sys.exit('went wrong')", "print('only noise')", "raise MemoryError"],
)
def test_an_agent_without_an_answer_is_an_error(code: str) -> None:
    with pytest.raises(RemoteError, match="gave no answer"):
        Agent(Scripted(code)).call(Ask())


def test_an_answer_that_breaks_off_is_an_error() -> None:
    data = framed({"given": {"a": 1}}, b"x" * 100)[:-50]
    with pytest.raises(RemoteError):
        Agent(Scripted(f"import sys; sys.stdout.buffer.write({data!r})")).call(
            Ask(), blob=io.BytesIO()
        )


def test_the_last_word_of_a_failed_agent_is_told() -> None:
    with pytest.raises(RemoteError, match="went wrong"):
        Agent(Scripted("import sys; sys.exit('went wrong')")).call(Ask())


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
    ],
)
def test_a_server_without_python_is_told_with_the_remedy(stderr: str) -> None:
    error = WIRE.failure(Result(("ssh",), 127, b"", stderr))
    assert isinstance(error, TargetError) and "lacks python3" in error.message
    assert "install" in error.hint


def test_ssh_failing_is_told_by_ssh() -> None:
    error = WIRE.failure(Result(("ssh",), 255, b"", "me@gpu: Permission denied (publickey)."))
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
    assert re.fullmatch(r"exec sh -c '[\w./;$\[\]|= -]+'", command)
    assert command.endswith(f"exec $p -IS {wire.CACHE}/agent-0.zip'")


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


def test_a_python_can_be_brought_where_there_is_none(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_with(tmp_path, monkeypatch, python3=OLD)
    for tool in ("uname", "echo"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool, path="/usr/bin:/bin")))
    no_other_python(monkeypatch, tmp_path)
    monkeypatch.setattr(SshWire, "connect", lambda self: None)
    server = TargetSession.of(Project(tmp_path, {}), Target.parse("me@gpu:proj"))
    fake = tmp_path / "uv"
    fake.write_text(
        "#!/bin/sh\nfolder=.local/share/uv/python/cpython-3.12/bin\n"
        f'test "$*" = "python install 3.12" && mkdir -p $folder &&'
        f" ln -s '{os.path.realpath(sys.executable)}' $folder/python3.12\n"
    )
    monkeypatch.setattr(bootstrap, "own_uv", lambda: fake)
    told = list[str]()
    server.agent.bring_python = lambda theirs: bootstrap.bring_python(
        server, theirs, say=told.append
    )
    assert prepare(server.agent, tmp_path / "proj").state == "ours"
    assert len(told) == 1 and "bringing uv" in told[0]


def test_a_python_that_can_not_be_brought_is_told(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_with(tmp_path, monkeypatch, python3=OLD)
    (tmp_path / "bin" / "uname").symlink_to(str(shutil.which("uname", path="/usr/bin:/bin")))
    no_other_python(monkeypatch, tmp_path)
    monkeypatch.setattr(SshWire, "connect", lambda self: None)
    server = TargetSession.of(Project(tmp_path, {}), Target.parse("me@gpu:proj"))
    fake = tmp_path / "uv"
    fake.write_text("#!/bin/sh\necho 'error: no route' >&2\nexit 2\n")
    monkeypatch.setattr(bootstrap, "own_uv", lambda: fake)
    server.agent.bring_python = lambda theirs: bootstrap.bring_python(
        server, theirs, say=lambda text: None
    )
    with pytest.raises(TargetError, match="no route") as caught:
        prepare(server.agent, tmp_path / "proj")
    assert "dnf install" in caught.value.hint


def test_the_script_and_the_agent_tell_the_same_machine() -> None:
    argv = ["sh", "-s"]
    script = wire.FIND_PYTHON.read_bytes()
    said = subprocess.run(argv, input=script, capture_output=True, check=True).stdout
    ours = target_dir.machine()
    assert wire._machine(said) == Machine(ours.system, ours.machine, ours.libc)


# Answers that don't fit


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"jobs": [{"state": "flying"}], "now": 1}, r"jobs\[0\].state"),
        ({"jobs": [{"state": "lost", "id": "../../x"}], "now": 1}, r"jobs\[0\].id"),
        ({"jobs": [{"state": "lost", "host": "\x1b[2J"}], "now": 1}, r"jobs\[0\].host"),
        ({"jobs": [{"state": "lost", "cause": "x" * 99_999}], "now": 1}, r"jobs\[0\].cause"),
        ({"jobs": [{"state": "lost", "peak_memory": -1}], "now": 1}, r"jobs\[0\].peak_memory"),
        ({"jobs": [], "now": float("nan")}, "now"),
        ({"jobs": []}, "lacks now"),
        ({"error": {"kind": "JobError", "message": ["x"]}}, "error.message"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_its_field(
    value: dict[str, Any], place: str
) -> None:
    with pytest.raises(ProtocolError, match=place):
        answering(value).call(JobsRequest(KEY))


@pytest.mark.parametrize(
    "data",
    [
        "b' 5 0\\n[1,2\\n'",
        "b' 4 0\\nnull'",
        "b' 999999999999 0\\n{}'",
        "b' 200000 0\\n' + b'[' * 200_000",
    ],
)
def test_an_answer_that_is_no_object_is_refused(data: str) -> None:
    code = f"import sys; sys.stdout.buffer.write({FRAME!r} + {data})"
    with pytest.raises(RemoteError):
        Agent(Scripted(code)).call(JobsRequest(KEY))
