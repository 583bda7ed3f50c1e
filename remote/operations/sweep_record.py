"""What was started together as a sweep, kept here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote.errors import JobError, ProtocolError
from remote.job import fields
from remote.job.fields import MANY, NAME, VALUE
from remote.job.paths import STATE
from remote.job.struct import Struct

#: Below the project's `.remote`: a file for each sweep that was started from here.
FOLDER = "sweeps"

#: What is said of a file that can't be read, and the next step.
DAMAGE = "is damaged: the jobs of that sweep are unknown"
REMEDY = "Put back a copy of it, or remove it."

#: Of how many that is kept: each pull reads them.
KEPT = 300

#: Letters of a sweep's id: of its name, and of its request, by which it is known.
NAME_LENGTH, LETTERS = 20, 6


class SweepJob(Struct):
    """One job: its target, its id, which is empty before it was started, and by what it differs."""

    target: str = fields.text(NAME)
    id: str = fields.job_id(default="")
    values: Mapping[str, Any] = fields.mapping_of(fields.any_json(VALUE), MANY, default={})


class Sweep(Struct):
    """What was started together."""

    id: str = fields.job_id()
    name: str = fields.text(NAME)
    program: str = fields.text(VALUE)
    user: str = fields.text(NAME)
    submitted: float = fields.moment()
    jobs: tuple[SweepJob, ...] = fields.list_of(fields.nested(SweepJob), MANY)
    ended: bool = fields.flag(default=False)
    """Whether its own run has ended, with those of all jobs."""

    @property
    def targets(self) -> list[str]:
        """The targets that have jobs of it, each once."""
        return list(dict.fromkeys(job.target for job in self.jobs if job.id))

    def on(self, target: str) -> tuple[str, ...]:
        """The ids of its jobs on one of them."""
        return tuple(job.id for job in self.jobs if job.target == target and job.id)

    def write(self, state: Path) -> None:
        """Keep it, for its owner alone: parameters may be private."""
        folder = state / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.to_file(folder / f"{self.id}.json", mode=0o600)
        by_age = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-KEPT]:
            path.unlink(missing_ok=True)

    def forget(self, state: Path) -> None:
        """Keep nothing of it: none of its jobs was started."""
        (state / FOLDER / f"{self.id}.json").unlink(missing_ok=True)


def sweep_files(state: Path) -> list[Path]:
    """The files of all that were started from here."""
    return sorted((state / FOLDER).glob("*.json"))


def read_sweep(file: Path) -> Sweep:
    """The sweep of a file; raises JobError where that is damaged."""
    with contextlib.suppress(ProtocolError):
        if sweep := Sweep.from_file(file):
            return sweep
    raise JobError(f"{STATE}/{FOLDER}/{file.name} {DAMAGE}.", REMEDY)


def find_sweep(state: Path, text: str) -> Sweep | None:
    """The sweep with that id, or with these letters at its end; None where there is none."""
    if not (state / FOLDER).is_dir() or not text:
        return None
    files = sweep_files(state)
    matching = [file for file in files if text in (file.stem, file.stem[-LETTERS:])]
    return read_sweep(matching[0]) if len(matching) == 1 else None
