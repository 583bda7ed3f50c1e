"""MLflow's file store (`mlruns/` with `meta.yaml`) as a source of records.

    is_file_store(folder)              True for such a folder
    write(folder, out, known, …)       the same delta as remote.tracking.delta.write

Read are experiments, runs, parameters, metrics, tags, data sets, logged models and where artifacts
lie; what else is there is named. A file store has no transactions and no row ids: what changed is
seen by the sizes and times of a run's files, and a changed run is read whole.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from remote.errors import StoreError
from remote.tracking.delta import FORMAT, new_delta, with_real_paths
from remote.tracking.filestore import experiment_rows, layout
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.layout import is_file_store
from remote.tracking.filestore.run_folder import send_run

__all__ = ["is_file_store", "write"]


def write(
    folder: Path,
    out: Path,
    known: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    registry: bool = False,
) -> None:
    """Writes to `out` what changed in the file store `folder` since `known`, as delta.write does.

    What isn't read, or can't be, is named in `left_out`, and doesn't stop the rest. So are
    registered models, whether `registry` asks for them or not.
    Raises StoreError.
    """
    if not is_file_store(folder):
        raise StoreError(f"{folder} isn't an MLflow file store.")
    if known.get("format") != FORMAT:
        known = {}
    root = os.path.abspath(folder)
    near = with_real_paths(roots or [os.path.dirname(root)])
    # The store's folder below the roots: beside `mlruns`, one more that has artifacts.
    places = [os.path.relpath(root, above) for above in near if layout.is_below(root, above)]
    meta = {"format": FORMAT, "since": known.get("token"), "alembic": None, "mark": None}
    meta.update(roots=near, places=[*places, os.path.basename(root)][:1])
    try:
        with new_delta(out) as database:
            output = DeltaOutput(database, known)
            database.execute("BEGIN")
            _send_all(output, root, near)
            output.finish(meta)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(
            f"The records of {folder} can't be written to {out}: {error}", "Is that disk full?"
        ) from error


def _send_all(output: DeltaOutput, root: str, roots: List[str]) -> None:
    """The runs of all experiments first: what a run refers to was there before the run said so, so
    it is found when it is looked for afterwards.
    """
    places, links = layout.experiments(root)
    for link in links:
        output.note_unseen(f"experiments/{link}", "it is a link")
    artifacts = layout.Artifacts(root, places, roots)
    opened = [
        experiment_rows.open_experiment(output, place, artifacts) for place in places.values()
    ]
    readable = list(filter(None, opened))
    for experiment in readable:
        for name in output.subfolders(experiment.folder):
            if name not in layout.NOT_RUNS:
                send_run(output, experiment, name)
    for experiment in readable:
        experiment_rows.send_experiment(output, experiment)
        for name in output.subfolders(f"{experiment.folder}/models"):
            experiment_rows.send_model(output, experiment, name)
    for kind in layout.not_read(root):
        output.note(kind)
