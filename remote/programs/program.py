"""What every kind of program offers: how it becomes what is asked of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from remote.job.spec import JobSpec


class Program(Protocol):
    """Something that a job can run. Its kind is a row of remote.job.kinds."""

    def job_spec(
        self,
        root: Path,
        parameters: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        output: str = "",
    ) -> JobSpec:
        """What is asked of a job that runs it, as far as the program itself tells.

        `root` is the project's; `output` is what an executed notebook is to be called. An empty
        `experiment` leaves that to the project. Raises RemoteError where the program can't be
        given this, or can't run on a target.
        """
