"""Files that the project needn't hold: copied to a target once, gone on with where that was cut off,
and compared afterwards."""

from __future__ import annotations

import functools
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from remote.errors import ConfigError, TransferError
from remote.files import user_and_host
from remote.folders import leads_out
from remote.job.fields import PATH
from remote.job.outputs import below
from remote.job.tree import PushStamp
from remote.operations.transfers.push_guard import push_lock, when_free
from remote.secret_files import is_secret
from remote.session import TargetSession, project_id
from remote.transport import rsync_args
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_filters import IgnoreFile
from remote.transport.rsync_problems import BESIDE, SECRET, Problem
from remote.transport.rsync_tally import Tally

#: Where they go unless it is said: what jobs read, and no push deletes.
USUAL = "data/raw"


def put(server: TargetSession, files: Sequence[str], to: str = USUAL) -> Tally:
    """Copy files, and folders with all that is in them, into the folder `to` of the target; what was
    copied, and what stayed. Raises RemoteError, also where something is not there as it is here."""
    folder = _checked(server, to)
    named = _named(server, files, folder)
    server.connect()
    # Links stand for the files: nothing of them is copied here, and no command names them.
    with tempfile.TemporaryDirectory(prefix="remote-put-") as text, push_lock(server.project):
        stage = Path(text)
        (stage / folder).mkdir(parents=True)
        for name, path in named.items():
            os.symlink(path, stage / folder / name)
        tally = _send(server, stage, folder)
        compared = Tally() if tally.problems else _send(server, stage, folder, verify=True)
    if compared.sent:
        raise TransferError(
            f"Different on the server after the copy: {', '.join(compared.sent[:5])}",
            "Does a program write to it, on either side? Then repeat the command.",
        )
    tally.problems += [*compared.problems, *_staying(server, named, folder)]
    return tally


def _staying(server: TargetSession, named: Mapping[str, Path], folder: str) -> Iterator[Problem]:
    """What is in these folders and not there afterwards: secrets, and what a link leads to that lies
    beside a folder, and is no part of what is copied."""
    allowed = IgnoreFile.of(server.project.root).allowed
    for name, top in named.items():
        for place, folders, files in os.walk(top):
            inner = os.path.normpath(f"{name}/{os.path.relpath(place, top)}")
            for path in (f"{inner}/{entry}" for entry in (*folders, *files)):
                here = top.parent / path
                if is_secret(f"{folder}/{path}", allowed):
                    yield Problem(str(here), "it looks like a secret, which is not sent", SECRET)
                elif here.is_symlink():
                    target = os.readlink(here)
                    # rsync sends what a link leads to that leads out of all that it sends.
                    is_kept = not leads_out(f"{folder}/{path}", target)
                    if is_kept and _top_of(f"{inner}/{target}") not in named:
                        reason = f"a link to {target}, which is not copied with it"
                        yield Problem(str(here), reason, BESIDE)
            folders[:] = [n for n in folders if not is_secret(f"{folder}/{inner}/{n}", allowed)]


def _top_of(path: str) -> str:
    """The name that a path begins with."""
    return os.path.normpath(path).split("/")[0]


def _checked(server: TargetSession, to: str) -> str:
    folder = os.path.normpath(to)
    if not re.fullmatch(PATH, folder) or not below(folder, ["data"]):
        raise ConfigError(
            f"--to {to}: a push would delete it again.",
            "Name a folder in data: --to data/raw",
        )
    linked = next((name for name in server.settings.links if below(folder, [name])), "")
    if linked:
        raise ConfigError(
            f"{linked} of the target is a link to {server.settings.links[linked]}, by pyproject.toml.",
            "Name another folder: --to data/raw",
        )
    return folder


def _named(server: TargetSession, files: Sequence[str], folder: str) -> dict[str, Path]:
    """The files by their names there."""
    named: dict[str, Path] = {}
    allowed = IgnoreFile.of(server.project.root).allowed
    for text in files:
        path = Path(os.path.abspath(Path(text).expanduser()))
        if not path.exists():
            raise ConfigError(
                f"There is no {text!r} on this machine.", "Name files or folders that exist."
            )
        if not (path.is_file() or path.is_dir()):
            raise ConfigError(f"{text} is no file and no folder.", "Only these can be copied.")
        if path.name in named:
            raise ConfigError(f"Two of these are called {path.name}.", "Copy one after the other.")
        if is_secret(path.name) and path.name not in allowed:
            raise ConfigError(
                f"{text} looks like a secret, which is not sent.",
                f"If it is none: a line !{path.name} in .rsyncignore",
            )
        if f"{folder}/{path.name}" in server.settings.links:
            raise ConfigError(
                f"{folder}/{path.name} of the target is a link, by pyproject.toml.",
                "Copy it by another name, or into another folder: --to data/raw",
            )
        named[path.name] = path
    return named


def _send(server: TargetSession, stage: Path, folder: str, *, verify: bool = False) -> Tally:
    """Copy what is staged; or say what differs there, by its content."""
    project = project_id(server.project)
    stamp = None if verify else PushStamp.new(project, user_and_host())
    argv = rsync_args.put_argv(
        server.remote,
        dialect(),
        folder,
        project=project,
        stamp=f"{time.strftime('%Y%m%d-%H%M%S')}-{stamp.id[-4:]}" if stamp else "",
        push=stamp,
        allowed=IgnoreFile.of(server.project.root).allowed,
    )
    title = "comparing" if verify else "copying"
    run = functools.partial(server.rsync, argv, title, cwd=stage, push=stamp, partly=True)
    return server.transfer(lambda: when_free(server, run))
