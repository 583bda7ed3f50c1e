"""The project on this machine: where it is, and which target is meant.

Where no setting names a target, it is the one that was pushed to last.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remote.errors import ConfigError
from remote.files import is_absent, write_atomic
from remote.job import outputs
from remote.settings import env_file, load_settings, make_variables
from remote.target import Target
from remote.target_settings import TargetSettings, ToolSettings, is_name

#: What the root of a project holds, one of them at least.
MARKS = ("tasks.py", "pyproject.toml", ".rsyncignore")


class StrayProject(ConfigError):
    """What looks like the project is one that somebody else put there."""


@dataclass(frozen=True)
class Project:
    """The project on this machine: its root folder and its settings."""

    root: Path
    settings: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The toolkit's own folder in this project."""
        return self.root / ".remote"

    @functools.cached_property
    def tool(self) -> ToolSettings:
        """`[tool.remote]` of pyproject.toml; raises ConfigError."""
        try:
            return ToolSettings.of(pyproject(self.root))
        except (OSError, ValueError) as error:
            raise ConfigError(f"pyproject.toml can't be read: {error}.") from None

    def target_settings(self, target: Target) -> TargetSettings:
        """What pyproject.toml says of a target, or of all; raises ConfigError."""
        return self.tool.of_target(target)

    def target(self, text: str = "") -> Target:
        """The target: `text` where given, else TARGET_DIR, else the last one pushed to.

        Each may be an address or a name of pyproject.toml. Raises ConfigError, also for a name that
        stands for several.
        """
        value = self._asked(text)
        members = self.tool.members(value) if is_name(value) else None
        if members is not None:
            raise ConfigError(
                f"{value} stands for several targets, and one is needed here.",
                (
                    f"Name one of them: {', '.join(members)}."
                    if members
                    else "pyproject.toml names none yet: docs/servers.md"
                ),
            )
        return self._one(value)

    def targets(self, text: str = "") -> tuple[Target, ...]:
        """The targets that a group, `all` or `any` stands for, or the one that is named."""
        value = self._asked(text)
        members = self.tool.members(value) if is_name(value) else None
        if members == ():
            raise self.tool.unknown(value)
        return tuple(self._one(name) for name in (members or (value,)))

    def is_pool(self, text: str = "") -> bool:
        """Whether that stands for several targets, though it may be a group of one."""
        value = self._asked(text)
        return is_name(value) and self.tool.members(value) is not None

    def _asked(self, text: str) -> str:
        value = (text or self.settings.get("TARGET_DIR", "") or self._last_target()).strip()
        if not value:
            raise ConfigError(
                "TARGET_DIR is not set, so there is no server to work with.",
                "Give it (make sync-push TARGET_DIR=user@host:/proj) or write it into .env.",
            )
        return value

    def _one(self, value: str) -> Target:
        target = self.tool.named(value) if is_name(value) else Target.parse(value)
        root, path = self.root.resolve(), Path(target.path).resolve()
        if target.is_local and (path == root or root in path.parents or path in root.parents):
            raise ConfigError(
                f"TARGET_DIR {target.path!r} overlaps this project.",
                "Name a folder outside of it.",
            )
        return target

    def usual_target(self) -> str:
        """What a command takes that names no target, on a command line of its own."""
        typed_for_make = "TARGET_DIR" in make_variables()
        settings = env_file(self.root) if typed_for_make else self.settings
        return settings.get("TARGET_DIR", "") or self._last_target()

    def remember_target(self, target: Target) -> None:
        """Make `target` the one that is meant where none is named."""
        text = target.label
        if self._last_target() != text:
            self.state.mkdir(exist_ok=True)
            write_atomic(self.state / "last-target", text.encode("utf-8", "surrogateescape"))

    def _last_target(self) -> str:
        try:
            return (self.state / "last-target").read_text("utf-8", "surrogateescape").strip()
        except OSError:
            return ""


def pyproject(root: Path) -> dict[str, object]:
    """pyproject.toml, read; empty where there is none. Raises OSError, ValueError."""
    file = root / "pyproject.toml"
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        # One that is a link to a disk that isn't mounted says something, though nobody knows what.
        if is_absent(file):
            return {}
        raise
    return _loaded(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _loaded(file: Path, written: int, size: int) -> dict[str, object]:
    """A file of that version: each command reads it several times, and `inv watch` at each push."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    return dict(tomllib.loads(file.read_text("utf-8")))


def declared(root: Path, name: str) -> str:
    """A text of pyproject.toml's table `project`, such as `requires-python`; empty without one."""
    try:
        table = pyproject(root).get("project")
    except (OSError, ValueError):
        return ""
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def find_project(start: Path | None = None) -> Project:
    """The project that `start` (the working directory) lies in; raises ConfigError.

    Where none of the folders around it looks like a project, it is one itself. One that a server
    brought into a folder of results is none, nor is another user's that `start` only lies below.
    """
    root = find_root(start)
    _refuse_results(root)
    _refuse_strangers(root, (start or Path.cwd()).resolve())
    return Project(root, load_settings(root))


def find_root(start: Path | None = None) -> Path:
    """The root of that project, whether or not its settings can be read."""
    start = (start or Path.cwd()).resolve()
    folders = (start, *start.parents)
    marked = (folder for folder in folders if any((folder / mark).exists() for mark in MARKS))
    return next(marked, start)


def _refuse_results(root: Path) -> None:
    for outer in root.parents:
        # Where nothing was pulled to, nothing was brought.
        if not (outer / ".remote").is_dir() or not any((outer / mark).exists() for mark in MARKS):
            continue
        name = root.relative_to(outer).as_posix()
        results = (*outputs.paths(), *_declared_outputs(outer))
        if outputs.below(name.casefold(), [path.casefold().rstrip("/") for path in results]):
            raise StrayProject(
                f"{root} is in the output of the jobs of {outer}, and no project of yours.",
                f"Go to {outer}, or move it out of that folder.",
            )


def _declared_outputs(root: Path) -> list[str]:
    try:
        names: object = pyproject(root)
    except (OSError, ValueError):
        return []
    for key in ("tool", "remote", "outputs"):
        names = names.get(key, []) if isinstance(names, dict) else []
    return [str(name) for name in names] if isinstance(names, list) else []


def _refuse_strangers(root: Path, start: Path) -> None:
    for mark in MARKS if root != start else ():
        with contextlib.suppress(OSError):
            if (root / mark).stat().st_uid not in (0, os.geteuid()):
                raise StrayProject(
                    f"{root / mark} is another user's, and {start} only lies below it.",
                    f"If you trust it, go to {root}; else put a tasks.py of your own here.",
                )


#: What an environment has in it, made by venv or by conda.
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


def is_environment(folder: Path) -> bool:
    """Whether a folder is a Python environment."""
    return any((folder / mark).exists() for mark in ENVIRONMENT_MARKS)
