"""Commands: what is typed after ` -- `, or a shell's line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.job import kinds
from remote.job.spec import JobSpec


@dataclass(frozen=True)
class Command:
    """A command line, as a list of words."""

    words: tuple[str, ...]

    def job_spec(
        self,
        root: Path,
        parameters: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        output: str = "",
    ) -> JobSpec:
        """A job without a source, whose arguments are the whole command line."""
        return JobSpec(
            kind=kinds.COMMAND.name,
            source="",
            name=Path(self.words[0]).name,
            arguments=self.words,
        )
