"""What was saved in JupyterLab on a server, and which of it comes here."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from remote.errors import TargetError
from remote.files import copy_new, sha256, write_atomic
from remote.job.messages.services import FetchRequest, SavedRequest
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE
from remote.operations.transfers.project_outputs import declared_outputs
from remote.operations.transfers.room import check_room
from remote.output import plural, print_lines, say, size
from remote.session import TargetSession
from remote.transport.acting_files import acts, folded
from remote.transport.sent_names import sent_names

#: Bytes of a file that is brought, and of all of them as they are sent.
LONGEST_SAVED, LONGEST_ARCHIVE = 256 << 20, 4 << 30

COPY = "Copy them by hand."

#: Bytes of a name, and names of a path, that each file system here takes.
LONGEST_NAME, DEEPEST = 255, 100

#: The folders of the root that `inv`, `make` and the tests run on this machine.
RUN_HERE = ("remote", "scripts", "containers", "bench", "tests")

#: What shells, make and Python take up without its being named, by its end in small letters.
TAKEN_UP = (
    ".sh", ".bash", ".zsh", ".fish", ".mk", ".bat", ".cmd", ".ps1",
    ".pth", ".egg-link", ".pyc", ".pyo", ".so", ".pyd", ".dylib", ".dll",
)  # fmt: skip
TAKEN_UP_FOLDERS = ("__pycache__", ".egg-info", ".dist-info")


def saved(server: TargetSession) -> list[str]:
    """The project's files that were saved in JupyterLab there and differ from here, or lack here."""
    there = server.agent.call(SavedRequest(key=server.key)).files
    names = []
    for name, digest in there.items():
        with contextlib.suppress(OSError, ValueError):
            if sha256(server.project.root / name) == digest:
                continue
        names.append(name)
    return names


def bring_and_tell(server: TargetSession) -> None:
    """Bring here what was saved there, but for what this machine would run and no push sends."""
    names, root = saved(server), server.project.root
    outputs = declared_outputs(root)
    fit = [name for name in names if may_come(name, root, outputs)]
    sent = sent_names(root, fit, outputs)
    coming = [name for name in fit if name in sent]
    for name in sorted(set(names) - set(coming)):
        say(f"{name} is not copied: this machine runs it, or no push sends it. Copy it by hand.")
    if not coming:
        say("Nothing was saved in JupyterLab that is to be copied.")
        return
    brought, backup = list[str](), f"{STATE}/backup/lab-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        for name in bring(server, coming, backup):
            brought.append(name)
    finally:
        # Whatever became of the others.
        print_lines(*brought)
        if (root / backup).is_dir():
            say(f"{plural(len(brought), 'file')} copied; local versions are kept in {backup}/")


def may_come(name: str, root: Path, outputs: Sequence[str] = ()) -> bool:
    """Whether a file of that name is taken from a server.

    It is a notebook, or a file that is here already or lies in a folder of the root that is; and
    neither hidden, nor something that this machine runs unasked. What jobs write (also what the
    project declares as their `outputs`) comes by a pull.
    """
    parts = name.split("/")
    if max(map(len, map(os.fsencode, parts))) > LONGEST_NAME or len(parts) > DEEPEST:
        return False
    if os.path.isabs(name) or not name.isprintable() or is_left_alone(name, outputs):
        return False
    if any(part in ("", "..") or folded(part)[:1] in ("", ".") for part in parts) or acts(name):
        return False
    if not (root / name).parent.resolve().is_relative_to(root.resolve()):
        return False
    if not _is_spelled_as_here(parts, root):
        return False
    return folded(name).endswith(".ipynb") or len(parts) > 1 and not _is_run_here(parts, root)


def _is_spelled_as_here(parts: Sequence[str], root: Path) -> bool:
    """Whether no other spelling of a part is here, which some file systems take for the same."""
    folder = root
    for part in parts:
        try:
            names = os.listdir(folder)
        except OSError:
            return True
        if part not in names and folded(part) in map(folded, names):
            return False
        folder /= part
    return True


def _is_run_here(parts: Sequence[str], root: Path) -> bool:
    """Whether this machine would run a file by itself, in a new package's name perhaps: a folder of
    the root comes first on the path that `inv` imports by."""
    path, plain = root.joinpath(*parts), [folded(part) for part in parts]
    if plain[0] in RUN_HERE or plain[-1].endswith(TAKEN_UP):
        return True
    if any(part.endswith(TAKEN_UP_FOLDERS) for part in plain) or _is_imported(path):
        return True
    is_package = len(parts) == 2 and plain[-1].split(".")[0] == "__init__"
    return not path.is_file() and (is_package or not (root / parts[0]).is_dir())


def _is_imported(path: Path) -> bool:
    """Whether this very process has imported it, as `inv` does what tasks.py needs."""
    files = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
    alike = (file for file in files if file.endswith(f"/{path.name}"))
    return os.path.realpath(path) in map(os.path.realpath, alike)


def bring(server: TargetSession, names: list[str], backup: str) -> Iterator[str]:
    """Bring these saved files here, and tell each that is; what they replace goes to `backup`.

    Raises TargetError where what came isn't what was asked for, or not all of it.
    """
    root, left = server.project.root, dict.fromkeys(names, "changed on the server meanwhile")
    with tempfile.TemporaryFile() as blob:
        request = FetchRequest(key=server.key, names=tuple(names))

        def take(piece: bytes) -> None:
            if blob.tell() + len(piece) > LONGEST_ARCHIVE:
                raise TargetError(f"The saved files take more than {size(LONGEST_ARCHIVE)}.", COPY)
            blob.write(piece)

        times = server.agent.call(request, on_blob=take).times
        wanted = set(names).intersection(times)
        for name, content in _unzipped(blob, root):
            if name not in wanted:
                raise TargetError(f"The server sent {name!r}, which was not requested.")
            if content is None:
                left[name] = f"longer than {size(LONGEST_SAVED)}"
                continue
            # Meanwhile a folder may have become a link.
            if not may_come(name, root):
                raise TargetError(f"{name} can't be copied here any more.", COPY)
            file, mode = root / name, 0o644
            if file.exists():
                mode = file.stat().st_mode & 0o777
                copy_new(file, root / backup / name, mode=mode)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, content, mode=mode)
            # rsync takes files of the same size and time for the same.
            os.utime(file, (times[name], times[name]))
            left.pop(name, None)
            yield name
    if left:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in left.items())
        raise TargetError(f"Not copied: {reasons}.", COPY)


def _unzipped(blob: IO[bytes], root: Path) -> Iterator[tuple[str, bytes | None]]:
    """The files in a zip file of the server's, None for what is too long; raises TargetError."""
    try:
        with zipfile.ZipFile(blob) as archive:
            check_room(root, sum(entry.file_size for entry in archive.infolist()), "of saved files")
            for entry in archive.infolist():
                if entry.file_size > LONGEST_SAVED:
                    yield entry.filename, None
                    continue
                with archive.open(entry) as file:
                    # A few bytes may unpack to any number.
                    yield entry.filename, file.read(LONGEST_SAVED)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise TargetError(f"What the server sent can't be unpacked: {error}.", COPY) from None
