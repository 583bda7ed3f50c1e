"""Calling the agent: one ssh, JSON in, JSON out, the agent's own file brought when it is new."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import re
import secrets
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Callable, Optional, Protocol

from remote import errors, process
from remote.errors import ConnectError, RemoteError, TargetError
from remote.files import write_atomic
from remote.ssh import Ssh

#: Below the home directory of the server's account; the agent's own modules name it too.
CACHE = ".cache/remote-gpu-workflow"
FRAME = b"==remote-agent-answer=="

_HEAD = re.compile(re.escape(FRAME) + rb" (\d+) (\d+)\n")
#: sh and bash name the program first, zsh and fish last.
_NO_PYTHON = re.compile(
    r"python3.*(not found|no such file)|(command not found|unknown command): *'?python3", re.I
)

FIND_PYTHON = Path(__file__).with_name("find_python.sh")
#: What it says: the version of python3, and the newer one that it linked.
_PYTHON = re.compile(rb"==remote-python== ([\d.]*) ?(/.*)?\n")
_MACHINE = re.compile(rb"==remote-machine== (\w+) (\w+) (\w+)\n")
#: Python 3.6 and older stop at the first line; a newer one that is too old, at _GUARD.
_OLD_PYTHON = re.compile(r"future feature annotations is not defined|the toolkit needs Python 3\.8")
_GUARD = b"""
import sys

if sys.version_info < (3, 8):
    raise ImportError("the toolkit needs Python 3.8 or newer, not %d.%d.%d" % sys.version_info[:3])
"""

#: What the agent is made of, below the package `remote`.
PARTS = (
    "__init__.py",
    "errors.py",
    "files.py",
    "job.py",
    "host/**/*.py",
    "inside/**/*.py",
    "merge/**/*.py",
)
#: Where PyYAML is in it. Not at the top: a job has the zip on its path, before its own packages.
VENDORED = "vendored"
METADATA = "Metadata-Version: 2.1\nName: remote-gpu-workflow\nVersion: 0\n"
ENTRY_POINTS = "[mlflow.run_context_provider]\nremote = remote.inside.tags:JobContext\n"


class AgentBug(Exception):
    """The agent raised what it should not have; the message is its traceback."""


def contents() -> dict[str, bytes]:
    """The files of the agent's zip by their names in it."""
    package = Path(__file__).parent
    found = {"__main__.py": (package / "entrance.py").read_bytes()}
    for part in PARTS:
        for path in sorted(package.glob(part)):
            found[f"remote/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    found["remote/__init__.py"] += _GUARD
    found.update(_pyyaml())
    # MLflow finds what tags a job's runs by this entry point, wherever the zip is on the path.
    found["remote_gpu_workflow-0.dist-info/METADATA"] = METADATA.encode()
    found["remote_gpu_workflow-0.dist-info/entry_points.txt"] = ENTRY_POINTS.encode()
    return found


def _pyyaml() -> dict[str, bytes]:
    """PyYAML without its compiled part: some files of MLflow's file stores need it."""
    spec = importlib.util.find_spec("yaml")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return {}
    paths = sorted(Path(folders[0]).glob("*.py"))
    return {f"{VENDORED}/yaml/{path.name}": path.read_bytes() for path in paths}


def digest(files: dict[str, bytes]) -> str:
    """A name for exactly these files."""
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:32]


def packed(files: dict[str, bytes]) -> bytes:
    """The same files always give the same zip."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


class NoPython(TargetError):
    """The server has no Python that is new enough. `machine` is what one must be made for."""

    def __init__(self, message: str, hint: str, machine: Optional[dict[str, str]] = None) -> None:
        super().__init__(message, hint)
        self.machine = machine


class Wire(Protocol):
    """How bytes reach the machine that the agent runs on."""

    def connect(self) -> None:
        """Raise ConnectError where the machine can't be reached."""

    def agent(self, name: str) -> list[str]:
        """argv that runs the agent's file called `name`."""

    def bring(self, name: str, data: bytes) -> None:
        """Put a file into the toolkit's cache there, whole or not at all."""

    def mend(self, result: process.Result) -> bool:
        """Do something about a call that gave no answer; False where nothing can be done."""

    def failure(self, result: process.Result) -> RemoteError:
        """What a call that gave no answer means."""


@dataclass(frozen=True)
class SshWire:
    """A server behind SSH."""

    ssh: Ssh

    def connect(self) -> None:
        self.ssh.connect()

    def agent(self, name: str) -> list[str]:
        # Words that sh, bash, zsh, csh and fish read alike; no value of the user's among them.
        # The look for a Python that `mend` found takes 0.6 ms.
        found = f"p={CACHE}/python3; [ -x $p ] || p=python3; exec $p -IS {CACHE}/{name}"
        return self.ssh.command(f"exec sh -c '{found}'")

    def bring(self, name: str, data: bytes) -> None:
        temporary = f"{CACHE}/.tmp-{secrets.token_hex(16)}"
        script = (
            f"umask 077 && mkdir -p {CACHE}/bin && cat > {temporary} && chmod 700 {temporary}"
            f" && mv {temporary} {CACHE}/{name} || {{ rm -f {temporary}; exit 1; }}"
        )
        result = process.run(self.ssh.command(f"exec sh -c '{script}'"), stdin=data)
        if result.code == 255:
            raise self.ssh.failure(result.stderr)
        if result.code:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise TargetError(f"The toolkit's files can't be put on the server: {last}.")

    def mend(self, result: process.Result) -> bool:
        """Look for a newer Python where there is none, or an old one; raises TargetError.

        What is found is remembered there, as a link in the cache.
        """
        if not (_NO_PYTHON.search(result.stderr) or _OLD_PYTHON.search(result.stderr)):
            return False
        command = self.ssh.command("exec sh -s")
        found = process.run(command, stdin=FIND_PYTHON.read_bytes())
        if found.code == 255:
            raise self.ssh.failure(found.stderr)
        answer = _PYTHON.search(found.stdout)
        if not answer or not answer[2]:
            version = answer[1].decode("ascii") if answer else ""
            raise _python_error(version, _machine(found.stdout))
        return True

    def failure(self, result: process.Result) -> RemoteError:
        if result.code == 255:
            return self.ssh.failure(result.stderr)
        if _NO_PYTHON.search(result.stderr):
            return _python_error("")
        last = (result.stderr.strip().splitlines() or ["nothing"])[-1]
        return ConnectError(f"The agent gave no answer (exit {result.code}): {last}")


def _python_error(version: str, machine: Optional[dict[str, str]] = None) -> NoPython:
    """`version` is what the server's python3 says of itself; empty where there is none."""
    if not version:
        return NoPython(
            "The server lacks python3.",
            "Install it there: sudo apt-get install -y python3 (or dnf install python3)",
            machine,
        )
    return NoPython(
        f"The server's python3 is {version}; the toolkit needs 3.8 or newer.",
        "Install one there, e.g.: uv python install 3.12 (or dnf install python39)",
        machine,
    )


def _machine(said: bytes) -> Optional[dict[str, str]]:
    """The machine as the agent's own `machine` tells it, as far as that counts."""
    found = _MACHINE.search(said)
    if not found:
        return None
    system, machine, libc = (part.decode("ascii") for part in found.groups())
    return {"system": system, "machine": machine, "libc": libc if system == "Linux" else ""}


@dataclass(frozen=True)
class LocalWire:
    """This machine: the embedded default."""

    def connect(self) -> None:
        pass

    def agent(self, name: str) -> list[str]:
        return [sys.executable, "-IS", str(Path.home() / CACHE / name)]

    def bring(self, name: str, data: bytes) -> None:
        folder = Path.home() / CACHE
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, data, mode=0o700)

    def mend(self, result: process.Result) -> bool:
        return False

    def failure(self, result: process.Result) -> RemoteError:
        last = (result.stderr.strip().splitlines() or ["nothing"])[-1]
        return TargetError(f"The agent gave no answer (exit {result.code}): {last}")


@dataclass
class Reader:
    """Cuts the agent's output into answers as it comes; what stands before the first is noise."""

    noise: bytes = b""
    answers: list[dict[str, Any]] = field(default_factory=list)
    on_answer: Optional[Callable[[dict[str, Any]], None]] = None
    blob: Optional[IO[bytes]] = None
    _held: bytes = b""
    _blob_left: int = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the agent's standard output."""
        self._held += piece
        while self._held and self._step():
            pass

    def _step(self) -> bool:
        if self._blob_left:
            taken, self._held = self._held[: self._blob_left], self._held[self._blob_left :]
            self._blob_left -= len(taken)
            if self.blob:
                self.blob.write(taken)
            return True
        head = _HEAD.search(self._held)
        if not head or len(self._held) < head.end() + int(head[1]):
            return False
        if not self.answers:
            self.noise = self._held[: head.start()]
        end = head.end() + int(head[1])
        self._take(json.loads(self._held[head.end() : end]))
        self._held, self._blob_left = self._held[end:], int(head[2])
        return True

    @property
    def broken_off(self) -> bool:
        """Whether the bytes that were announced did not all come."""
        return self._blob_left > 0 or _HEAD.search(self._held) is not None

    def _take(self, value: dict[str, Any]) -> None:
        self.answers = [value]
        if self.on_answer:
            self.on_answer(value)


@dataclass
class Agent:
    """The agent on one machine. `noisy` is known after the first call.

    `bring_python` is called where the machine has no Python for it, with that machine.
    """

    wire: Wire
    noisy: Optional[bool] = None
    bring_python: Optional[Callable[[dict[str, str]], None]] = None

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return contents()

    @property
    def name(self) -> str:
        """The agent's file in the cache, named by its content."""
        return f"agent-{digest(self._files)}.zip"

    def call(
        self,
        verb: str,
        *,
        on_answer: Optional[Callable[[dict[str, Any]], None]] = None,
        blob: Optional[IO[bytes]] = None,
        **request: Any,
    ) -> dict[str, Any]:
        """The (last) answer to one request; raises what the agent raised.

        `on_answer` gets every answer as it comes; `blob` the bytes that follow an answer.
        """
        self.wire.connect()
        data = json.dumps({"verb": verb, **request}).encode("ascii")
        reader, result = self._exchange(data, on_answer, blob)
        for _ in range(2):
            if reader.answers or not self._mended(result):
                break
            reader, result = self._exchange(data, on_answer, blob)
        if not reader.answers or reader.broken_off:
            raise self.wire.failure(result)
        self.noisy = bool(reader.noise.strip())
        return _checked(reader.answers[-1])

    def _exchange(
        self,
        data: bytes,
        on_answer: Optional[Callable[[dict[str, Any]], None]],
        blob: Optional[IO[bytes]],
    ) -> tuple[Reader, process.Result]:
        reader = Reader(on_answer=on_answer, blob=blob)
        return reader, process.feed(self.wire.agent(self.name), reader.feed, stdin=data)

    def _mended(self, result: process.Result) -> bool:
        if "can't open file" in result.stderr:
            self.bring()
            return True
        try:
            return self.wire.mend(result)
        except NoPython as error:
            if not (self.bring_python and error.machine):
                raise
            self.bring_python(error.machine)
            return self.wire.mend(result)

    def bring(self) -> None:
        """Put this version of the agent into the cache there."""
        self.wire.bring(self.name, packed(self._files))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "bug" in answer:
        raise AgentBug("\n" + answer["bug"])
    if "error" in answer:
        kind = getattr(errors, answer["error"]["kind"], None)
        if not (isinstance(kind, type) and issubclass(kind, RemoteError)):
            kind = RemoteError
        raise kind(answer["error"]["message"], answer["error"]["hint"])
    return answer
