"""How bytes reach the machine that the agent runs on: by OpenSSH, or as a process here."""

from __future__ import annotations

import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remote.errors import NoAnswer, RemoteError, TargetError
from remote.files import write_atomic
from remote.job.paths import CACHE
from remote.transport import process
from remote.transport.ssh import Ssh

#: sh and bash name the program first, zsh and fish last.
_NO_PYTHON = re.compile(
    r"python3.{0,200}?(not found|no such file)|(command not found|unknown command): *'?python3",
    re.I,
)

ROOM = "They take a megabyte in ~/.cache on the server: is its disk full, or your quota?"

FIND_PYTHON = Path(__file__).with_name("find_python.sh")

#: What it says: the version of python3, and the newer one that it linked.
_PYTHON = re.compile(rb"==remote-python== ([\d.]{0,20}) ?(/.*)?\n")

#: Behind the name of the agent's zip: what starts its first call's unpacked copy (remote.agent_main).
UNPACKED = ".d/__main__.py"

#: Bytes that a login shell may print beside what it is asked for.
LONGEST_NOISE = 1 << 20

#: Python 3.6 and older stop at the first line; a newer one that is too old, at _GUARD.
_OLD_PYTHON = re.compile(r"future feature annotations is not defined|the toolkit needs Python 3\.8")


@dataclass(frozen=True)
class SshWire:
    """A server behind SSH."""

    ssh: Ssh

    def connect(self) -> None:
        """Raise ConnectError where the machine can't be reached."""
        self.ssh.connect()

    def agent(self, name: str, *words: str) -> list[str]:
        """argv that runs the agent's file called `name`; the `words` are plain."""
        # Words that sh, bash, zsh, csh and fish read alike; no value of the user's among them.
        # Names are UTF-8, whatever the account's language. A start-up file may have gone elsewhere.
        # The look for a Python that `mend` found takes 0.6 ms.
        file = f"{CACHE}/{name}"
        script = (
            f"cd; p={CACHE}/python3; [ -x $p ] || p=python3;"
            f" a={file}; [ -f $a ] && [ -f $a{UNPACKED} ] && a=$a{UNPACKED}; exec $p -X utf8 -IS"
        )
        return self.ssh.command(f"exec sh -c '{' '.join([script, '$a', *words])}'")

    def works(self) -> bool:
        """Whether an answer can still come."""
        return self.ssh.answers

    def hang_up(self) -> None:
        """End the connection, with all that comes by it."""
        self.ssh.close()

    def bring(self, name: str, data: bytes) -> None:
        """Put a file into the toolkit's cache there, whole or not at all."""
        temporary = f"{CACHE}/.tmp-{secrets.token_hex(16)}"
        script = (
            f"cd; umask 077 && mkdir -p {CACHE}/{PurePosixPath(name).parent}"
            f" && cat > {temporary} && chmod 700 {temporary}"
            f" && mv {temporary} {CACHE}/{name} || {{ rm -f {temporary}; exit 1; }}"
        )
        command = self.ssh.command(f"exec sh -c '{script}'")
        result = process.run(command, stdin=data, limit=LONGEST_NOISE)
        if result.code == 255:
            raise self.ssh.broken(result.stderr)
        if result.code:
            raise TargetError(
                f"The toolkit's files can't be put on the server: {result.complaint}.", ROOM
            )

    def mend(self, result: process.Result) -> bool:
        """Look for a newer Python where there is none, or an old one; raises TargetError.

        What is found is remembered there, as a link in the cache.
        """
        if not (_lacks_python(result) or _OLD_PYTHON.search(result.stderr)):
            return False
        command = self.ssh.command("exec sh -s")
        search = process.run(command, stdin=FIND_PYTHON.read_bytes(), limit=LONGEST_NOISE)
        if search.code == 255:
            raise self.ssh.broken(search.stderr)
        answer = _PYTHON.search(search.stdout)
        if not answer or not answer[2]:
            version = answer[1].decode("ascii") if answer else ""
            raise _python_error(version)
        return True

    def failure(self, result: process.Result) -> RemoteError:
        """What a call that gave no answer means."""
        if result.code == 255:
            return self.ssh.broken(result.stderr)
        if _lacks_python(result):
            return _python_error("")
        return NoAnswer(f"The agent gave no answer (exit {result.code}): {result.complaint}")


def _lacks_python(result: process.Result) -> bool:
    """Whether no python3 was found; 127 is a shell's exit code for that, whatever its language."""
    is_told = result.code == 127 and "python3" in result.stderr
    return is_told or bool(_NO_PYTHON.search(result.stderr))


def _python_error(version: str) -> TargetError:
    """`version` is what the server's python3 says of itself; empty where there is none."""
    if not version:
        return TargetError(
            "The server lacks python3.",
            "Install it on the server: sudo apt-get install -y python3 (or dnf install python3)",
        )
    return TargetError(
        f"The server's python3 is {version}; the toolkit needs 3.8 or newer.",
        "Install one on the server, e.g.: uv python install 3.12 (or dnf install python39)",
    )


@dataclass(frozen=True)
class LocalWire:
    """This machine: the embedded default. Its methods are those of SshWire."""

    def connect(self) -> None:
        pass

    def works(self) -> bool:
        return True

    def hang_up(self) -> None:
        pass

    def agent(self, name: str, *words: str) -> list[str]:
        file = Path.home() / CACHE / name
        script = Path(f"{file}{UNPACKED}")
        is_unpacked = file.is_file() and script.is_file()
        return [sys.executable, "-X", "utf8", "-IS", str(script if is_unpacked else file), *words]

    def bring(self, name: str, data: bytes) -> None:
        folder = Path.home() / CACHE
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, data, mode=0o700)
        except OSError as error:
            raise TargetError(f"The toolkit's files can't be put here: {error}.", ROOM) from error

    def mend(self, result: process.Result) -> bool:
        return False

    def failure(self, result: process.Result) -> RemoteError:
        return NoAnswer(f"The agent gave no answer (exit {result.code}): {result.complaint}")


Wire = SshWire | LocalWire
