"""What runs and models have beside their fields: histories of metrics, data sets, artifacts."""

from __future__ import annotations

import re
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple
from urllib.parse import urlsplit

from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from remote.secret_files import is_secret
from remote.tracking.export.export_record import artifact_files
from remote.tracking.export.export_session import REFUSED, Placed, Session
from remote.tracking.export.server_client import reason
from remote.tracking.merge.artifact_paths import lies_elsewhere
from remote.tracking.schema import MODEL
from remote.tracking.store import connect_read_only

_POINTS = 1000
"""So many values of metrics an MLflow server takes in one request."""
_INPUTS = 20
"""Data sets in one request: they may have long schemas and profiles."""
_FILE = "file:"
_ASKED = "remote/job.json"
"""What was asked of a job, which only its owner may read: variables, and the command of --notify."""
_MISREAD = re.compile(r"[#?]|%[0-9A-Fa-f]{2}")
"""MLflow's client puts names into URLs as they are: these would arrive under other names."""
_LAST_ROW = """
SELECT coalesce(max(n), 0)
FROM (SELECT rowid AS n FROM metrics WHERE run_uuid = ? ORDER BY n LIMIT ?)
"""
_ROWS = """
SELECT m.n, m.key, CASE WHEN m.is_nan THEN 'nan' ELSE m.value END, m.timestamp, m.step,
    l.model_id, l.dataset_name, l.dataset_digest
FROM (SELECT rowid AS n, * FROM metrics WHERE run_uuid = ?1 AND rowid > ?2 ORDER BY n LIMIT ?3) m
LEFT JOIN logged_model_metrics l ON l.run_id = ?1 AND l.metric_name = m.key
    AND l.metric_timestamp_ms = m.timestamp AND l.metric_step = m.step
ORDER BY m.n
"""
"""The points of a history, each once for each logged model that it is about."""


def send_history(session: Session, run: Placed) -> None:
    """Send the points that weren't sent before.

    They go in the order of their rows, which a store that is rebuilt keeps, while it numbers them
    anew. Where an export was stopped while it sent points, and where nothing is known, the server
    says which points it has: some servers would keep one twice.
    """
    log = partial(session.client.log_batch, run.sent.server_id, synchronous=True)
    model_there = lru_cache(maxsize=None)(partial(session.server_id, MODEL))
    points_there = _points_there(session, run) if run.sent.points is None else ()
    sent, run.sent.points = run.sent.points or 0, None
    session.save(run)
    with closing(connect_read_only(session.order.store)) as database:
        (last,) = database.execute(_LAST_ROW, (run.id, sent)).fetchone()
        # A query for each batch: a lock on the store must not outlast a request to the server.
        while rows := database.execute(_ROWS, (run.id, last, _POINTS)).fetchall():
            metrics = []
            for _, key, value, timestamp, step, model, *dataset in rows:
                if (key, repr(float(value)), timestamp, step) not in points_there:
                    # So MLflow gives models metrics: a point of the run names the model.
                    model = model_there(model)
                    about = (model, *dataset) if model else ()
                    metrics.append(Metric(key, float(value), timestamp, step, *about))
            refused = session.send_all(run, metrics, _POINTS, log)
            session.summary.metric_rows += len(metrics) - len(refused)
            last, sent = rows[-1][0], sent + len({row[0] for row in rows})
    run.sent.points = sent
    session.save(run)


def _points_there(session: Session, run: Placed) -> Set[Tuple[str, str, int, int]]:
    return {
        (key, repr(float(point.value)), point.timestamp, point.step)
        for key in run.server.data.metrics
        for point in session.client.get_metric_history(run.sent.server_id, key)
    }


def send_inputs(session: Session, run: Placed) -> None:
    """Send data sets and models that the server's run doesn't name yet: it would list some twice."""
    client, server_id, local, server = session.client, run.sent.server_id, run.local, run.server
    model = partial(session.server_id, MODEL)
    used = [LoggedModelInput(model(use.model_id)) for use in local.inputs.model_inputs]
    made = [LoggedModelOutput(model(use.model_id), use.step) for use in local.outputs.model_outputs]
    data, data_there = local.inputs.dataset_inputs, server.inputs.dataset_inputs
    for uses, uses_there, send in (
        (data, data_there, lambda part: client.log_inputs(server_id, part)),
        (used, server.inputs.model_inputs, lambda part: client.log_inputs(server_id, models=part)),
        (made, server.outputs.model_outputs, lambda part: client.log_outputs(server_id, part)),
    ):
        # '' is the id of models that aren't on the server.
        known = {"", *map(_used, uses_there)}
        new = [use for use in uses if _used(use) not in known]
        session.send_all(run, new, _INPUTS, send)


def _used(use: Any) -> str:
    return use.model_id if hasattr(use, "model_id") else f"{use.dataset.name} {use.dataset.digest}"


def send_artifacts(session: Session, placed: Placed, local: str, server: str) -> bool:
    """Send files that are new or changed here, from one location to another.

    A server tells only the sizes of its files: one that it has in a size that was never sent counts
    as somebody else's. False where it can't be written to: then they are tried again.
    """
    root, url = session.order.root, session.client.tracking_uri
    folder, files = artifact_files(root, local, placed.id)
    what = f"The artifacts of {placed} aren't sent"
    if lies_elsewhere(local):
        session.summary.note(
            "Artifacts in cloud storage stay there: the server's runs don't name them."
        )
    elif folder is None:
        session.summary.note(f"{what}: they lie outside of this project.")
    states = placed.sent.states
    files.pop(_ASKED, None)
    for name in [name for name in files if is_secret(name, session.order.allowed)]:
        session.summary.note(f"{name} of {placed} is not sent: it is called like a secret")
        del files[name]
    for name in [name for name in files if not files[name][0].isdigit()]:
        session.summary.note(f"{name} of {placed} is not sent: it {files.pop(name)}")
    new = {
        name: version
        for name, version in files.items()
        if [version] not in (states.get(_FILE + name), states.get(REFUSED + _FILE + name))
    }
    if not folder or not new:
        return True
    if not _is_reachable(server, url):
        session.summary.note(
            f"{what}: the server keeps them at a path of its own"
            " (mlflow server --artifacts-destination DIR serves them)."
        )
        return False
    try:
        _send_files(session, placed, get_artifact_repository(server, tracking_uri=url), folder, new)
    except Exception as error:
        # Each cloud's driver has exceptions of its own, and may not be installed.
        if not lies_elsewhere(server):
            raise
        session.summary.note(f"{what}: {reason(error)}")
        return False
    return True


def _is_reachable(location: str, server: str) -> bool:
    """Never a plain path: MLflow's client would write to it on this machine."""
    url = urlsplit(location)
    if url.scheme == "mlflow-artifacts":
        return url.netloc in ("", urlsplit(server).netloc)
    return lies_elsewhere(location)


def _send_files(
    session: Session, placed: Placed, repository: Any, folder: Path, files: Dict[str, str]
) -> None:
    """`files` are versions by name: size and time."""
    sizes, states, ours = _sizes(repository), placed.sent.states, []
    refused: List[str] = []
    for name, version in files.items():
        before = [state for state in states.get(_FILE + name, [None]) if state != version]
        if sizes.get(name) in [state and _size(state) for state in before]:
            ours.append(name)
            states[_FILE + name] = [*before, version]
    session.save(placed)
    for name, version in files.items():
        if name not in ours:
            if sizes.get(name) != _size(version):
                session.summary.note(f"kept the server's: {name} of {placed}")
        elif _MISREAD.search(name) and repository.artifact_uri.startswith("http"):
            session.summary.note(f"{name} of {placed} is left out: MLflow's client misreads it")
            refused.append(name)
        else:
            with session.refusable(f"{name} of {placed}") as left:
                repository.log_artifact(str(folder / name), name.rpartition("/")[0] or None)
                session.summary.files += 1
                session.summary.bytes += _size(version)
            refused += [name] if left else []
    states.update({REFUSED + _FILE + name: [files[name]] for name in refused})
    states.update({_FILE + name: [files[name]] for name in files if name not in refused})
    session.save(placed)


def _size(version: str) -> int:
    return int(version.split()[0])


def _sizes(repository: Any) -> Dict[str, int]:
    """Of all files that the server has for one run or model."""
    sizes: Dict[str, int] = {}
    folders: List[Optional[str]] = [None]
    while folders:
        for entry in repository.list_artifacts(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            else:
                sizes[entry.path] = int(entry.file_size or 0)
    return sizes
