"""The agent's answer to a pull from a file store."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, TypeVar

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.delta import FORMAT, TABLES, with_real_paths
from remote.tracking.filestore import layout
from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.experiment_rows import Experiment, open_experiment, send_experiment
from remote.tracking.filestore.model_rows import send_model
from remote.tracking.filestore.registry import send_registered_model
from remote.tracking.filestore.run_folder import send_run
from remote.tracking.filestore.scan import why
from remote.tracking.filestore.traces import send_trace


def write(
    folder: Path,
    out: Path,
    known: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    registry: bool = False,
) -> Dict[str, Any]:
    """Writes to `out` what changed in the file store `folder` since `known`, as delta.write does.

    What can't be read is named in `left_out`, and doesn't stop the rest.
    Answers with the size in bytes and the numbers of rows. Raises StoreError.
    """
    if not layout.is_file_store(folder):
        raise StoreError(f"{folder} isn't an MLflow file store.")
    if known.get("format") != FORMAT:
        known = {}
    if out.exists():
        out.unlink()
    try:
        with closing(sqlite3.connect(str(out), timeout=60)) as database:
            database.isolation_level = None
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.executescript(TABLES)
            database.execute("BEGIN")
            output = Output(database, known, registry=registry)
            near = with_real_paths(roots or [str(folder.absolute().parent)])
            _send_all(output, os.path.abspath(folder), near, registry=registry)
            output.finish(_meta(known, near))
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"The records of {folder} can't be written to {out}: {error}") from error
    counts = dict(output.counts, metric_rows=output.metric_rows)
    return dict(counts, format=FORMAT, bytes=out.stat().st_size)


def _meta(known: Mapping[str, Any], roots: List[str]) -> Dict[str, Any]:
    since = known.get("token")
    return {"format": FORMAT, "since": since, "roots": roots, "alembic": None, "mark": None}


def _send_all(output: Output, root: str, roots: List[str], *, registry: bool) -> None:
    """The runs of all experiments first: what a run refers to was there before the run said so, so
    it is found when it is looked for afterwards.
    """
    links: List[str] = []
    places = layout.experiments(root, links)
    for link in links:
        output.incomplete = True
        output.note(f"experiments/{link}", "it is a link")
    artifacts = layout.Artifacts(root, places, roots)
    readable: List[Experiment] = []
    for place in places:
        experiment = open_experiment(output, place, artifacts)
        if experiment is not None:
            readable.append(experiment)
            for name in _listed(output, layout.runs, place):
                send_run(output, experiment, name, artifacts)
        else:
            _keep(output, place)
    for experiment in readable:
        send_experiment(output, experiment, artifacts)
        for name in _listed(output, layout.models, experiment.place):
            send_model(output, experiment, name, artifacts)
        for name in _listed(output, layout.traces, experiment.place):
            send_trace(output, experiment, name, artifacts)
    names = _listed(output, layout.registered_models, root)
    if names and not registry:
        output.left_out("registered_models")
    for name in names if registry else ():
        send_registered_model(output, root, name, artifacts)


def _keep(output: Output, place: layout.Place) -> None:
    """What is in a folder that can't be taken isn't gone."""
    for kind, names in (
        (schema.RUN, layout.runs),
        (schema.MODEL, layout.models),
        (schema.TRACE, layout.traces),
    ):
        for name in _listed(output, names, place):
            output.claim(kind, name)


_Where = TypeVar("_Where")


def _listed(output: Output, names: Callable[[_Where], List[str]], where: _Where) -> List[str]:
    try:
        return names(where)
    except OSError as error:
        output.incomplete = True
        output.note(str(error.filename), f"it can't be listed ({why(error)})")
        return []
