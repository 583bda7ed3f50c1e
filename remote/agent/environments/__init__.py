"""What a job's code is run by: an environment that is made once, however many jobs need it, or one
that is there already.

Each that is made lies in a folder below the target's `.remote/envs/`, which is named by all that
decides on its content and never changes once it is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Dict, Mapping, NamedTuple, Protocol, Sequence, Tuple, Union

from remote.agent.environments import conda, container, python, uv
from remote.errors import JobError
from remote.files import is_absent
from remote.job.paths import STATE
from remote.job.spec import JobSpec

if TYPE_CHECKING:
    from remote.agent.environments.make_once import Recipe
    from remote.job.messages.old_jobs import PruneRequest

#: The file in an environment's folder that is there once the environment is whole.
COMPLETE = ".complete"


class Request(NamedTuple):
    """What a job asks of its environment.

    `code` is the project's root as the job sees it, `python` a version specifier such as `>=3.10`
    (empty: any). `source` is what is there already, as `environment_source` of a job has it; below
    `root`, the target's, where it is a relative path. `torch_backend` is uv's name of PyTorch's
    builds, such as `cu126`; `auto` is what fits the driver.
    """

    code: Path
    python: str = ""
    extras: Tuple[str, ...] = ()
    root: Path = Path()
    source: str = ""
    torch_backend: str = ""


class Environment(Protocol):
    """A kind of environment: how one is named, made, and found again.

    A module with these names is one.
    """

    #: The files, of a project's root, that say what such an environment holds.
    LOCK_FILES: Tuple[str, ...]

    #: Whether it is made below the target, for its jobs alone. Others are used as they are: nothing
    #: is written to them.
    IS_MADE: bool

    #: Whether its processes are no children of who starts them.
    STARTS_ELSEWHERE: bool

    #: In the place of extras, which only a lock file has: what to do; empty where extras can be had.
    NO_EXTRAS: str

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

    def python(self, folder: Path, request: Request) -> Path:
        """The interpreter that runs the job's code; raises JobError where it isn't there."""

    def check(self, folder: Path, request: Request, modules: Sequence[str]) -> None:
        """Raises JobError, with the next step, where it can't run a job that needs these modules;
        what is found out with less effort while the job runs needs no look here."""

    def record(self, request: Request) -> Mapping[str, str]:
        """What status.json tells of it besides its name: the SHA-256 of its `lock` file."""

    def packages(self, code: Path) -> Mapping[str, str]:
        """The versions that the project's lock file names, by package; empty where unreadable."""


#: The first one that suits a project, unless a setting names another; where none does, the first
#: one says what is lacking.
ENVIRONMENTS: Dict[str, Environment] = {
    "uv": uv,
    "conda": conda,
    "python": python,
    "container": container,
}

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
        return self.kind.python(self.folder, self.request)

    def is_ready(self) -> bool:
        """Whether it was made to its end; raises OSError where that can't be told, since one that
        isn't is made anew."""
        return not (self.kind.IS_MADE and is_absent(self.folder / COMPLETE))

    def check(self, modules: Sequence[str]) -> None:
        """Raises JobError where it can't run a job that needs these modules."""
        self.kind.check(self.folder, self.request, modules)

    def refuse_extras(self) -> None:
        """Raises JobError where extras are asked for, and it can have none."""
        if self.request.extras and self.kind.NO_EXTRAS:
            names = ", ".join(self.request.extras)
            raise JobError(
                f"--extra {names}: extras belong to a lock file, and this target's environment is"
                " made without one.",
                self.kind.NO_EXTRAS,
            )

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

    def packages(self) -> Mapping[str, str]:
        """The versions that the project's own file names, by package; empty where none does."""
        return self.kind.packages(self.request.code)

    def record(self) -> Mapping[str, str]:
        """What a job's status tells of it."""
        return {"environment": self.name, **self.kind.record(self.request)}


def of(
    root: Path,
    code: Path,
    python: str = "",
    extras: Tuple[str, ...] = (),
    *,
    kind: str = "",
    source: str = "",
    torch_backend: str = "",
) -> ProjectEnvironment:
    """The environment for `code` on the target at `root`; raises JobError where it can have none.

    `kind` names a row; empty is the one that suits the project.
    """
    request = Request(code, python, tuple(extras), root, source, torch_backend)
    if kind and kind not in ENVIRONMENTS:
        raise JobError(
            f"This version of the toolkit knows no kind of environment {kind!r}.",
            f"It knows {', '.join(ENVIRONMENTS)}.",
        )
    row = ENVIRONMENTS[kind] if kind else _kind_of(code)
    return ProjectEnvironment(row, request, root / STATE / "envs" / row.key(request))


def of_job(root: Path, code: Path, job: Union[JobSpec, PruneRequest]) -> ProjectEnvironment:
    """The environment that a job asks for, or one of today's settings would; raises JobError."""
    return of(
        root,
        code,
        job.python,
        job.extras,
        kind=job.environment,
        source=job.environment_source,
        torch_backend=job.torch_backend,
    )


def packages(code: Path) -> Mapping[str, str]:
    """The versions that the project's lock file names, by package; empty where it has none."""
    return _kind_of(code).packages(code)


def _kind_of(code: Path) -> Environment:
    return next((kind for kind in ENVIRONMENTS.values() if kind.suits(code)), uv)
