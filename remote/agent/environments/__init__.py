"""What a job's code is run by: an environment that is made once, however many jobs need it.

Each lies in a folder below the target's `.remote/envs/`, which is named by all that decides on its
content and never changes once it is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Dict, Mapping, Tuple

from remote.agent.environments import uv
from remote.agent.environments.base import Environment, Request
from remote.job.paths import STATE

#: The first one that suits a project makes its environment; the last one says what it lacks.
ENVIRONMENTS: Dict[str, Environment] = {"uv": uv}

#: Files that say what an environment holds, of every kind.
LOCK_FILES = tuple(name for kind in ENVIRONMENTS.values() for name in kind.LOCK_FILES)


@dataclass(frozen=True)
class ProjectEnvironment:
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
        """Its interpreter."""
        return self.kind.python(self.folder)

    def is_ready(self) -> bool:
        """Whether it was made to its end."""
        return self.kind.is_ready(self.folder)

    def missing_programs(self) -> Tuple[str, ...]:
        """What has to be brought to this server before it can be made, if it has to be made."""
        return () if self.is_ready() else self.kind.missing_programs()

    def make(self, log: IO[bytes], *, job: str = "") -> None:
        """Make it unless it is there; raises JobError."""
        if not self.is_ready():
            self.kind.make(self.folder, self.request, log, job=job)

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


def activated(folder: Path, base: Mapping[str, str]) -> Dict[str, str]:
    """The variables of `base` with the environment in `folder` first on PATH."""
    path = f"{folder / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}"
    return {**base, "PATH": path, "VIRTUAL_ENV": str(folder)}
