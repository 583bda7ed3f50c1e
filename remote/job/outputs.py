"""What jobs write below a target's root: a table, from which push, snapshots and pull follow.

A new folder for results is a row here (and a line of `.gitignore`).
"""

from __future__ import annotations

from typing import NamedTuple

from remote.job.paths import STATE


class Output(NamedTuple):
    """A folder that jobs write."""

    path: str
    shared: bool = True
    """Whether all jobs write to the same one: a snapshot links to it, or to the folder above."""
    pulled: bool = True
    """Whether a pull brings it as it is. MLflow's records and artifacts come by the merge."""
    is_file: bool = False


TABLE = (
    Output("data/results"),
    Output("data/processed"),
    Output("logs"),
    Output("outputs"),
    Output("multirun"),
    Output("mlruns", pulled=False),
    # MLflow's server makes it where one runs in the project; jobs write to mlruns.
    Output("mlartifacts", shared=False, pulled=False),
    Output("mlflow.db", pulled=False, is_file=True),
)

#: What a push never sends or deletes.
OUTPUTS = tuple(output.path for output in TABLE)

#: What a snapshot links to instead of copying it. `data` as a whole, since jobs also read from it.
SHARED = tuple(dict.fromkeys(output.path.split("/")[0] for output in TABLE if output.shared))

#: What a pull brings back as files.
PULLED = tuple(output.path for output in TABLE if output.pulled)

#: The folders that a target gets when it is made ready.
FOLDERS = tuple(output.path for output in TABLE if output.shared and not output.is_file)


def is_left_alone(name: str) -> bool:
    """Whether no push replaces the file of that path below the root: it is a job's, or ours."""
    return any(name == top or name.startswith(f"{top}/") for top in (STATE, *SHARED, *OUTPUTS))
