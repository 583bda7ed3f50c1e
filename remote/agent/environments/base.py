"""What a kind of environment has to know. A module with these names is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Mapping, Protocol, Tuple


@dataclass(frozen=True)
class Request:
    """What a job asks of its environment.

    `code` is the project's root, `python` a version specifier such as `>=3.10` (empty: any).
    """

    code: Path
    python: str = ""
    extras: Tuple[str, ...] = ()


class Environment(Protocol):
    """A kind of environment: how one is named, made, and found again."""

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

    def is_ready(self, folder: Path) -> bool:
        """Whether the environment was made to its end."""

    def make(self, folder: Path, request: Request, log: IO[bytes], *, job: str) -> None:
        """Make it, or wait for who makes it already; raises JobError.

        `log` is shown to the user; `job` is what others who wait are told about who makes it.
        """

    def python(self, folder: Path) -> Path:
        """The interpreter that runs the job's code."""

    def record(self, request: Request) -> Mapping[str, str]:
        """What status.json tells of it besides its name: the SHA-256 of its `lock` file."""

    def packages(self, code: Path) -> Mapping[str, str]:
        """The versions that the project's lock file names, by package; empty where unreadable."""
