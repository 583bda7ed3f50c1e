"""Where a project lives on this server, whether it may be written to, and what is missing here.

Its secrets lie there too, in one file that its owner alone reads.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Dict, Optional

from remote.agent import target_links
from remote.agent.processes import which
from remote.errors import JobError, TargetError
from remote.files import is_absent, locked, read_json, write_json
from remote.job.messages import target as messages
from remote.job.outputs import FOLDERS, dangling_link
from remote.job.paths import CACHE, NAME_PATTERN, STATE, jobs_folder, temporary_folder


def cache() -> Path:
    """The toolkit's folder in the home of the account that runs this."""
    return Path.home() / CACHE


def link(key: str) -> Path:
    """The link by which the client names a target without writing its path into a command."""
    return cache() / "targets" / key


def root_of(key: str) -> Path:
    """The root folder of a target that was prepared; raises TargetError."""
    path = link(key)
    if is_absent(path):
        raise TargetError("This target was not pushed to yet.", "Push first: make sync-push")
    root = Path(os.path.realpath(str(path)))
    if is_absent(root):
        raise TargetError(
            f"{root} doesn't exist any more: it was removed, or its disk isn't mounted.",
            "Once its disk is mounted, or to create it anew: make sync-push",
        )
    return root


def prepare(request: messages.PrepareRequest) -> messages.PrepareAnswer:
    """Make a target ready to be pushed to, or only look at it."""
    root, look = _root(request.path), request.look
    # Most calls of the agent don't prepare, and start faster without.
    from remote.agent import launchers

    launcher = launchers.named(request.launcher or launchers.usual())
    missing = [tool for tool in ("rsync", *launcher.PROGRAMS) if not which(tool)]
    if missing:
        raise TargetError(
            f"The server lacks {' and '.join(missing)}.",
            f"Install on {os.uname().nodename}: sudo apt-get install -y {' '.join(missing)}"
            " (or dnf, brew …)",
        )
    _trim()
    state = before = _state(root, request.project)
    if state == messages.ABSENT and not look or state == messages.FOREIGN and request.take_over:
        state = _claim(root, request)
    if state != messages.ABSENT:
        _link(root, request.key)
    if state != messages.ABSENT and not look:
        temporary_folder(root, request.project).mkdir(parents=True, exist_ok=True)
    if state == messages.OURS and not look:
        jobs_folder(root).mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            make_output(root, name)
        target_links.arrange(root, request.project, request.links)
    fresh = before == messages.ABSENT and state == messages.OURS
    return messages.PrepareAnswer(state=state, root=str(root), fresh=fresh)


def make_output(root: Path, name: str) -> None:
    """Make a folder that jobs write to, unless it is there, or a link to one; raises TargetError."""
    try:
        (root / name).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        link = dangling_link(root, name)
        if link:
            raise TargetError(
                f"{root / link} on the server is a link to {os.readlink(str(root / link))},"
                " which doesn't exist.",
                "Mount its destination on the server, or remove the link.",
            ) from None
        raise TargetError(
            f"{root / name} on the server is a file, and jobs need a folder in its place.",
            "Move it away on the server, or remove it from [tool.remote] outputs in pyproject.toml.",
        ) from None


def _claim(root: Path, request: messages.PrepareRequest) -> str:
    """Make the target the project's own, unless another has done so meanwhile; what it is then."""
    try:
        with locked(root / STATE / "claim.lock", "another first push to this target"):
            state = _state(root, request.project)
            if state == messages.FOREIGN and not request.take_over:
                return state
            (root / STATE / "projects" / request.project).mkdir(parents=True, exist_ok=True)
            return messages.OURS
    except (PermissionError, FileNotFoundError):
        # The second is what /proc and the like say, which take no folders.
        raise TargetError(
            f"{first_existing(root)} on the server can't be written to.",
            "Choose a folder that you own, or ask its administrator to make it yours.",
        ) from None


def _root(path: str) -> Path:
    root = Path(os.path.normpath(str(Path.home() / os.path.expanduser(path))))
    home, real = (Path(os.path.realpath(str(path))) for path in (Path.home(), root))
    if real == home or real in home.parents:
        raise TargetError(f"{root} is the home folder, or contains it.", "Name a folder in it.")
    if os.pathsep in str(real):
        # A job's `python` would be another one, unsaid.
        raise TargetError(
            f"{real} has a colon in its name, so PATH can't lead to the programs of jobs in it.",
            "Name another folder: make sync-push TARGET_DIR=user@host:/proj",
        )
    existing = first_existing(root)
    if not existing.is_dir():
        raise TargetError(
            f"{existing} on the server is a file, not a folder.",
            "Name another folder: make sync-push TARGET_DIR=user@host:/proj",
        )
    return real


def _state(root: Path, project: str) -> str:
    projects = root / STATE / "projects"
    if (projects / project).is_dir():
        return messages.OURS
    try:
        entries = {*os.listdir(str(root))} - {"lost+found"}
        # Somebody may be about to claim it, who holds the lock.
        if entries == {STATE} and os.listdir(str(root / STATE)) == ["claim.lock"]:
            return messages.ABSENT
    except FileNotFoundError:
        return messages.ABSENT
    return messages.FOREIGN if entries else messages.ABSENT


def first_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _link(root: Path, key: str) -> None:
    path = link(key)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_symlink() and os.readlink(str(path)) == str(root):
        return
    temporary = path.with_name(f"{key}.{os.getpid()}")
    os.symlink(str(root), str(temporary))
    os.replace(str(temporary), str(path))


def find_uv() -> Optional[str]:
    """Where a uv is that runs: on PATH, where its installer puts it, or brought by us."""
    from remote.agent import processes

    home = Path.home()
    own = [home / ".local/bin/uv", home / ".cargo/bin/uv", cache() / "bin" / "uv"]
    found = [which("uv"), *(str(path) for path in own if path.is_file())]
    for path in found:
        if path and processes.answer([path, "--version"]) is not None:
            return path
    return None


def machine() -> messages.Machine:
    """What a brought program must have been built for."""
    import platform

    libc = "gnu" if platform.libc_ver()[0] == "glibc" else "musl"
    return messages.Machine(
        system=platform.system(),
        machine=platform.machine(),
        libc=libc if platform.system() == "Linux" else "",
    )


def _trim() -> None:
    """Forget agents that no call and no job has used for 90 days; keep our own fresh."""
    own = Path(sys.argv[0])
    if own.suffix == ".zip":
        with contextlib.suppress(OSError):
            os.utime(str(own))
        for old in own.parent.glob("*.zip"):
            if old.stat().st_mtime < time.time() - 90 * 86400:
                old.unlink()
                import shutil

                shutil.rmtree(f"{old}.d", ignore_errors=True)


def secrets_file(root: Path) -> Path:
    """Where the secrets of a target are."""
    return root / STATE / "secrets.json"


def read_secrets(root: Path) -> Dict[str, str]:
    """All secrets of a target by name; raises TargetError where their file can't be read."""
    file = secrets_file(root)
    secrets: Optional[Dict[str, str]] = read_json(file)
    if secrets is None and file.exists():
        raise TargetError(
            f"The secrets of this target can't be read: {file}.",
            "Fix that file on the server, or move it away and set them again: inv remote-secrets NAME",
        )
    return secrets or {}


#: Bytes of a variable, with its name, from which on Linux starts no program (execve(2)).
LONGEST_VARIABLE = 128 << 10


def _refuse_unfit(name: str, value: str) -> None:
    """Raises JobError for a value with which no job could be started any more."""
    if "\0" in value:
        raise JobError(
            f"The value of {name} holds a NUL byte, which no environment variable can.",
            "Is it a file that isn't plain text, or text in UTF-16? Save it as UTF-8.",
        )
    if len(os.fsencode(f"{name}={value}")) + 1 > LONGEST_VARIABLE:
        raise JobError(
            f"The value of {name} is too long for an environment variable.",
            "Copy it to the server as a file of your own, and set its path.",
        )


def change_secret(request: messages.SecretRequest) -> messages.SecretAnswer:
    """Set one secret, or forget it."""
    root, name, value = root_of(request.key), request.name, request.value
    if not name:
        return messages.SecretAnswer(tuple(sorted(read_secrets(root))))
    if not NAME_PATTERN.match(name):
        raise JobError(
            f"{name!r} can't be the name of an environment variable.",
            "Such a name has letters, digits and _, and begins with no digit.",
        )
    _refuse_unfit(name, value or "")
    with locked(root / STATE / "secrets.lock", "another change of secrets"):
        secrets = read_secrets(root)
        if value is None and name not in secrets:
            raise JobError(
                f"There is no secret {name} on this target.", "List them: inv remote-secrets"
            )
        secrets.pop(name, None)
        if value is not None:
            secrets[name] = value
        write_json(secrets_file(root), secrets, mode=0o600)
    return messages.SecretAnswer(tuple(sorted(secrets)))
