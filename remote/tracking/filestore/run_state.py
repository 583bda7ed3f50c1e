"""Whether a run of a file store goes on: two lines of its meta.yaml, written where its job has ended."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from remote.files import write_atomic
from remote.tracking.filestore import layout

#: The numbers of mlflow.entities.RunStatus, as meta.yaml has them; 1 and 2 are RUNNING, SCHEDULED.
STATUS = {"FINISHED": "3", "FAILED": "4", "KILLED": "5"}


def close_all(store: Path, *, job: str, status: str, end_ms: int) -> None:
    """End the runs with the job's tag, and those of before that it went on with, if they are RUNNING.
    What can't be read or written stays as it is."""
    for place in layout.experiments(str(store))[0].values():
        for run in (store / place).iterdir():
            with contextlib.suppress(*layout.FAULTS):
                if job in map(_tag, (run / "tags/remote.job", run / "tags/remote.resumed_by")):
                    _end(run / layout.META, STATUS[status], end_ms)


def _tag(file: Path) -> str:
    try:
        return layout.read(str(file)).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _end(meta: Path, status: str, end_ms: int) -> None:
    text = layout.read(str(meta)).decode("utf-8", "surrogateescape")
    ended, changed = re.subn(r"^status: [12]$", f"status: {status}", text, flags=re.M)
    if changed:
        ended = re.sub(r"^end_time: null$", f"end_time: {end_ms}", ended, flags=re.M)
        data = ended.encode("utf-8", "surrogateescape")
        write_atomic(meta, data, mode=meta.stat().st_mode & 0o777)
