"""What a job's code is run by: an environment that is made once, however many jobs need it.

Each lies in a folder below the target's `.remote/envs/`, which is named by all that decides on its
content and never changes once it is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Dict, Mapping, NamedTuple, Protocol, Tuple

from remote.agent.environments import uv
from remote.files import is_absent
from remote.job.paths import STATE

if TYPE_CHECKING:
    from remote.agent.environments.make_once import Recipe

#: The file in an environment's folder that is there once the environment is whole.
COMPLETE = ".complete"


class Request(NamedTuple):
    """What a job asks of its environment.

    `code` is the project's root, `python` a version specifier such as `>=3.10` (empty: any).
    """

    code: Path
    python: str = ""
    extras: Tuple[str, ...] = ()


class Environment(Protocol):
    """A kind of environment: how one is named, made, and found again.

    A module with these names is one.
    """

    #: The files, of a project's root, that say what such an environment holds.
    LOCK_FILES: Tuple[str, ...]

    def suits(self, code: Path) -> bool:
        """Whether a project brings what such an environment is made from."""

    def key(self, request: Request) -> str:
        """A name, in letters and digits, for all that decides on the environment's content.

        Raises JobError where none can be made for the request.
        """

    def missing_programs(self) -> Tuple[str, ...]:
        """The programs that are not on this server, which the laptop has to bring first."""

    def recipe(self, folder: Path, request: Request) -> Recipe:
        """How it is made in `folder`; raises JobError. One job of all that need it asks for it."""

    def python(self, folder: Path) -> Path:
        """The interpreter that runs the job's code."""

    def record(self, request: Request) -> Mapping[str, str]:
        """What status.json tells of it besides its name: the SHA-256 of its `lock` file."""

    def packages(self, code: Path) -> Mapping[str, str]:
        """The versions that the project's lock file names, by package; empty where unreadable."""


#: The first one that suits a project makes its environment; the last one says what it lacks.
ENVIRONMENTS: Dict[str, Environment] = {"uv": uv}

#: Files that say what an environment holds, of every kind.
LOCK_FILES = tuple(name for kind in ENVIRONMENTS.values() for name in kind.LOCK_FILES)


class ProjectEnvironment(NamedTuple):
    """The environment of one project's code on a target, made or not."""

    kind: Environment
    request: Request
    folder: Path

    @property
    def name(self) -> str:
        """What it is called among the target's environments."""
        return self.folder.name

    @property
    def python(self) -> Path:
        return self.kind.python(self.folder)

    def is_ready(self) -> bool:
        """Whether it was made to its end; raises OSError where that can't be told, since one that
        isn't is made anew."""
        return not is_absent(self.folder / COMPLETE)

    def missing_programs(self) -> Tuple[str, ...]:
        """What has to be brought to this server before it can be made, if it has to be made."""
        return () if self.is_ready() else self.kind.missing_programs()

    def make(self, log: IO[bytes], *, job: str = "") -> None:
        """Make it unless it is there, or wait for who makes it already; raises JobError.

        `log` is shown to the user; `job` is what others who wait are told about who makes it.
        """
        if not self.is_ready():
            # Most jobs find it made, and start faster without.
            from remote.agent.environments.make_once import make_once

            make_once(self, log, job=job)

    def record(self) -> Mapping[str, str]:
        """What a job's status tells of it."""
        return {"environment": self.name, **self.kind.record(self.request)}


def of(
    root: Path, code: Path, python: str = "", extras: Tuple[str, ...] = ()
) -> ProjectEnvironment:
    """The environment for `code` on the target at `root`; raises JobError where it can have none."""
    kind, request = _kind_of(code), Request(code, python, tuple(extras))
    return ProjectEnvironment(kind, request, root / STATE / "envs" / kind.key(request))


def packages(code: Path) -> Mapping[str, str]:
    """The versions that the project's lock file names, by package; empty where it has none."""
    return _kind_of(code).packages(code)


def _kind_of(code: Path) -> Environment:
    *others, last = ENVIRONMENTS.values()
    return next((kind for kind in others if kind.suits(code)), last)
