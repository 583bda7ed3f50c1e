"""Uploads a delta, one thing after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge.apply import DELETED_THERE
from remote.tracking.merge.artifact_paths import PLACES, is_safe_id
from remote.tracking.merge.merge_session import Progress
from remote.upload import files, opening
from remote.upload.answers import NoSuchCall, Rejected
from remote.upload.base import Base
from remote.upload.experiments import delete_experiments, place_experiments
from remote.upload.finish import end_all, finish
from remote.upload.inputs import remember_datasets, send_inputs
from remote.upload.metrics import send_metrics
from remote.upload.models import Models
from remote.upload.runs import Runs
from remote.upload.server import Server
from remote.upload.session import Session
from remote.upload.source import Row, open_source
from remote.upload.summary import ArtifactSummary, UploadSummary
from remote.upload.things import Things, bring
from remote.upload.traces import Traces, link_to_runs

_ARTIFACTS_TAG = "mlflow.artifactLocation"
Env = Optional[Mapping[str, str]]
_NOT_UPLOADED = (schema.EVALUATION_DATASET, schema.REGISTERED_MODEL)


def known(base: Path, *, address: str, env: Env = None) -> dict[str, Any]:
    """What to tell the agent; {} (send everything) without a usable base of this server."""
    with Server(address, env) as server:
        return opening.known(base, identity(server))


def merge(
    delta: Path,
    *,
    address: str,
    base: Path,
    source: str,
    progress: Progress | None = None,
    env: Env = None,
) -> UploadSummary:
    """Uploads `delta` to the MLflow server at `address`; `base` remembers what of `source` is there.

    `env` has the settings of the login (os.environ). Stopped anywhere, the next upload does the
    rest. Raises StoreError, ConnectError, ConfigError.
    """
    try:
        with Server(address, env) as server, opening.alone(base), open_source(delta) as rows:
            with closing(opening.open_base(base, source, identity(server))) as opened:
                session = Session(server, rows, opened, source, progress)
                _merge(session)
                return _summary(session)
    except sqlite3.Error as error:
        raise StoreError(f"The records of {source} can't be uploaded: {error}") from error


def send_artifacts(
    base: Path,
    *,
    address: str,
    artifacts: Path,
    progress: Progress | None = None,
    env: Env = None,
) -> ArtifactSummary:
    """Sends what is new in the folders that a merge has named, and forgets these names.

    `artifacts` is the folder below which they are, under their `local` names.
    """
    with Server(address, env) as server, opening.alone(base):
        if not opening.known(base, identity(server)):
            return ArtifactSummary()
        with closing(Base(base)) as opened:
            return files.send_folders(server, opened, artifacts, progress)


def identity(server: Server) -> str:
    """Which server this is, under whatever address: one made anew has another time of creation."""
    server.hello()
    try:
        first = server.get("experiments/get", experiment_id="0")["experiment"]
    except Rejected:
        return server.shown
    return f"created {first['creation_time']}" if first.get("creation_time") else server.shown


def _merge(session: Session) -> None:
    _prepare(session)
    place_experiments(session)
    session.advance(len(session.source.entities(schema.EXPERIMENT)))
    remember_datasets(session)
    runs, models = Runs(session), Models(session)
    _bring_all(session, runs)
    _bring_all(session, models)
    send_metrics(session, runs)
    send_inputs(session, runs)
    _bring_all(session, Traces(session))
    if session.source.count("entity_associations"):
        link_to_runs(session)
    end_all(session, runs, models)
    delete_experiments(session)
    finish(session, runs)


def _prepare(session: Session) -> None:
    source, base = session.source, session.base
    since = source.meta("since")
    if since is not None and since != base.get("token"):
        raise StoreError("The delta doesn't follow what was uploaded last.", "Pull again.")
    session.first = base.get("token") is None
    roots = source.meta("roots") or []
    session.roots = [root for root in roots if isinstance(root, str) and root.startswith("/")]
    session.places = [*PLACES, *(source.meta("places") or [])]
    session.total = sum(len(source.entities(kind)) for kind in schema.KINDS)
    session.total += source.count("metrics") + source.count("logged_model_metrics")


def _bring_all(session: Session, things: Runs | Models | Traces) -> None:
    """Those of one kind that the delta has. Where the server knows no such kind, none."""
    ids = [each for each, _ in session.source.entities(things.kind)]
    if isinstance(things, Runs):
        ids = things.parents_first(ids)
    for number, each in enumerate(ids):
        try:
            _bring(session, things, each)
        except NoSuchCall:
            if isinstance(things, Runs):
                raise
            session.not_carried[schema.KINDS[things.kind].table] = None
            session.advance(len(ids) - number)
            return
        session.advance(1)


def _bring(session: Session, things: Things, each: str) -> None:
    kind = schema.KINDS[things.kind]
    row = session.source.row(kind.table, kind.column, each)
    if row is None or not is_safe_id(each):
        session.refuse(kind.name, each, "its id can't be part of a path")
        return
    experiment = row["experiment_id"]
    made = session.base.made(kind.name, each)
    if (made is None or made.ours is None) and experiment not in session.experiments:
        session.block(kind.name, each)
        return
    made = bring(session, things, each)
    if made is not None and kind.name == schema.RUN and session.base.was_gone(kind.name, each):
        body = {"run_id": made.ours, "key": DELETED_THERE}
        session.server.post("runs/delete-tag", body)
    if made is not None:
        where = _artifacts_of(session, kind, row, each)
        files.name_folder(session, kind.name, each, experiment, where)


def _artifacts_of(session: Session, kind: schema.Kind, row: Row, each: str) -> object:
    path = schema.table_of(kind.table).path
    if path:
        return row[path]
    tags = session.source.rows("trace_tags", "request_id", each)
    return next((tag["value"] for tag in tags if tag["key"] == _ARTIFACTS_TAG), None)


def _summary(session: Session) -> UploadSummary:
    new = session.new
    touched = session.touched | session.new_runs
    return UploadSummary(
        new_runs=new.get(schema.RUN, 0),
        grown_runs=len(touched) - len(session.new_runs),
        new_experiments=new.get(schema.EXPERIMENT, 0),
        new_models=new.get(schema.MODEL, 0),
        new_traces=new.get(schema.TRACE, 0),
        new_versions=0,
        metric_rows=session.metric_rows,
        conflicts=tuple(session.conflicts),
        refused=tuple(session.refused),
        left_out=_left_out(session),
        deleted_there=tuple(session.deleted_there),
        run_ids=tuple(sorted(touched)),
        artifacts=files.named_folders(session.base),
        notes=tuple(session.notes),
    )


def _left_out(session: Session) -> tuple[str, ...]:
    """What the store's own tables hold beyond what is known, and what the API can't take."""
    found = dict.fromkeys(str(name) for name in session.source.meta("left_out") or [])
    for kind in _NOT_UPLOADED:
        tables = [each.name for each in schema.TABLES if each.owner == kind]
        found.update(dict.fromkeys(name for name in tables if session.source.count(name)))
    found.update(session.not_carried)
    return tuple(found)
