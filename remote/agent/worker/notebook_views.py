"""What a run shows of its executed notebook beside the file: made once the job's code has ended, and
never at the cost of the job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from remote.agent import processes
from remote.agent.worker import Outcome, Record
from remote.agent.worker.attempt import CRASHED
from remote.agent.worker.variables import base

#: Seconds that it may take, and where something ended the job that may soon end us.
LIMIT, HURRY = 60.0, 5.0

#: Letters of an error that are told.
LONGEST = 200


def draw(record: Record, outcome: Outcome) -> None:
    """Have the page and the figures made (remote.runtime.draw_notebook); why not goes into the log."""
    limit = LIMIT if outcome.reason in ("", CRASHED) else HURRY
    try:
        is_wanted = record.run is not None and record.paths.notebook.is_file()
        problem = _draw(record, limit) if is_wanted else ""
    except subprocess.TimeoutExpired:
        problem = f"it took more than {limit:.0f} s"
    except Exception as error:
        # Whatever it is, the end of the job has still to be written down.
        problem = str(error)[:LONGEST]
    if problem:
        record.say(f"the run has no page of the notebook: {problem}")


def _draw(record: Record, limit: float) -> str:
    """What went wrong there; empty where nothing did. Raises whatever went wrong here."""
    python = Path(record.job.interpreter) if record.here else record.environment.python
    done = subprocess.run(
        [str(python), os.path.abspath(sys.argv[0]), "draw", str(record.paths.folder)],
        cwd=str(record.paths.folder),
        env=base(python),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=limit,
        preexec_fn=processes.dying_with_us(),
    )
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (lines or [f"exit code {done.returncode}"])[-1][:LONGEST] if done.returncode else ""
