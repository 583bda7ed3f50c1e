"""The agent's answer to a pull from a file store."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.delta import FORMAT, new_delta, with_real_paths
from remote.tracking.filestore import layout
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.experiment_rows import (
    Experiment,
    open_experiment,
    send_experiment,
    send_model,
)
from remote.tracking.filestore.run_folder import send_run
from remote.tracking.filestore.scan import why


def write(
    folder: Path,
    out: Path,
    known: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    registry: bool = False,
) -> Dict[str, Any]:
    """Writes to `out` what changed in the file store `folder` since `known`, as delta.write does.

    What isn't read, or can't be, is named in `left_out`, and doesn't stop the rest. So are
    registered models, whether `registry` asks for them or not.
    Answers with the size in bytes and the numbers of rows. Raises StoreError.
    """
    if not layout.is_file_store(folder):
        raise StoreError(f"{folder} isn't an MLflow file store.")
    if known.get("format") != FORMAT:
        known = {}
    root = os.path.abspath(folder)
    near = with_real_paths(roots or [os.path.dirname(root)])
    try:
        with new_delta(out) as database:
            database.execute("BEGIN")
            output = DeltaOutput(database, known)
            _send_all(output, root, near)
            meta = {"format": FORMAT, "since": known.get("token"), "alembic": None, "mark": None}
            output.finish({**meta, "roots": near, "places": [_place(root, near)]})
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"The records of {folder} can't be written to {out}: {error}") from error
    counts = dict(output.counts, metric_rows=output.metric_rows)
    return dict(counts, format=FORMAT, bytes=out.stat().st_size)


def _place(root: str, roots: Sequence[str]) -> str:
    """The store's folder below the roots: beside `mlruns`, one more that has artifacts."""
    for above in roots:
        if root.startswith(above.rstrip("/") + "/"):
            return os.path.relpath(root, above)
    return os.path.basename(root)


def _send_all(output: DeltaOutput, root: str, roots: List[str]) -> None:
    """The runs of all experiments first: what a run refers to was there before the run said so, so
    it is found when it is looked for afterwards.
    """
    links: List[str] = []
    folders = layout.experiments(root, links)
    for link in links:
        output.incomplete = True
        output.note(f"experiments/{link}", "it is a link")
    artifacts = layout.Artifacts(root, folders, roots)
    readable: List[Experiment] = []
    for folder in folders:
        experiment = open_experiment(output, folder, artifacts)
        if experiment is None:
            _claim_all(output, folder)
            continue
        readable.append(experiment)
        for name in _listed(output, layout.runs, folder):
            send_run(output, experiment, name, artifacts)
    for experiment in readable:
        send_experiment(output, experiment, artifacts)
        for name in _listed(output, layout.models, experiment.folder):
            send_model(output, experiment, name, artifacts)
    for kind in layout.not_read(root):
        output.note(kind)


def _claim_all(output: DeltaOutput, folder: layout.ExperimentFolder) -> None:
    """What is in an experiment that can't be read isn't gone."""
    for kind, names in ((schema.RUN, layout.runs), (schema.MODEL, layout.models)):
        for name in _listed(output, names, folder):
            output.claim(kind, name)


def _listed(
    output: DeltaOutput,
    names: Callable[[layout.ExperimentFolder], List[str]],
    folder: layout.ExperimentFolder,
) -> List[str]:
    try:
        return names(folder)
    except OSError as error:
        output.incomplete = True
        output.note(str(error.filename), f"it can't be listed ({why(error)})")
        return []
