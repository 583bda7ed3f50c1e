"""What a run has beside its fields: the histories of its metrics, its data sets and its models.

Of a history, only points go that weren't sent before.
SQLite numbers the rows of the metrics table as they come. The record says up to which row a run's
history was sent, and how many rows that were: with another number of rows up to there now, the store
was rebuilt. Then, where an export was stopped while it sent points, and where nothing is known, the
server's own history says which points it has: some servers would keep a point twice.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import Any, Dict, Iterator, List, Set, Tuple

from remote.tracking import schema
from remote.tracking.export.entity_kinds import Entity
from remote.tracking.export.export_record import SentMetrics
from remote.tracking.export.export_session import Session
from remote.tracking.store import connect_read_only, has_table

_POINTS = 1000
"""So many values of metrics an MLflow server takes in one request."""
_INPUTS = 20
"""Data sets in one request: they may have long schemas and profiles."""

Row = Tuple[Any, ...]
"""(row number, key, value, timestamp, step, is_nan)"""
Point = Tuple[str, int, int]
"""Key, timestamp and step."""


def send_history(session: Session, run_id: str, server_id: str) -> None:
    """Send what is new in the run's history, noting after each request how far it came."""
    with closing(connect_read_only(session.order.store)) as database:
        sent = _sent(session, database, run_id)
        server_points = _ServerPoints(session, server_id) if sent.under_way else None
        models = _model_rows(database, run_id)
        log = partial(session.client.log_batch, server_id, synchronous=True)
        for rows in _row_batches(database, run_id, sent.last_row):
            session.record.sent_metrics(run_id, SentMetrics(sent.last_row, sent.rows))
            new = [row for row in rows if server_points is None or not server_points.has(row)]
            metrics = [metric for row in new for metric in _metrics(session, row, models)]
            session.send_all(
                metrics,
                _POINTS,
                lambda batch: log(metrics=batch),
                lambda metric: f"A value of {metric.key} of run {run_id}",
            )
            session.summary.metric_rows += len(new)
            sent = SentMetrics(rows[-1][0], sent.rows + len(rows))
            session.record.sent_metrics(run_id, sent)
    done = SentMetrics(sent.last_row, sent.rows, under_way=False)
    session.record.sent_metrics(run_id, done)


def _sent(session: Session, database: sqlite3.Connection, run_id: str) -> SentMetrics:
    sent = session.record.entity(schema.RUN, run_id).metrics
    query = "SELECT count(*) FROM metrics WHERE run_uuid = ? AND rowid <= ?"
    (rows,) = database.execute(query, (run_id, sent.last_row)).fetchone()
    return sent if rows == sent.rows else SentMetrics()


def _row_batches(database: sqlite3.Connection, run_id: str, last: int) -> Iterator[List[Row]]:
    """A query for each: a lock on the store must not outlast a request to the server."""
    while True:
        rows = database.execute(
            "SELECT rowid, key, value, timestamp, step, is_nan FROM metrics"
            " WHERE run_uuid = ? AND rowid > ? ORDER BY rowid LIMIT ?",
            (run_id, last, _POINTS),
        ).fetchall()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _model_rows(database: sqlite3.Connection, run_id: str) -> Dict[Point, List[Row]]:
    """(model, data set's name and digest) for the run's points that are about logged models."""
    model_rows: Dict[Point, List[Row]] = {}
    if has_table(database, "logged_model_metrics"):
        for key, timestamp, step, *row in database.execute(
            "SELECT metric_name, metric_timestamp_ms, metric_step, model_id, dataset_name,"
            " dataset_digest FROM logged_model_metrics WHERE run_id = ?",
            (run_id,),
        ):
            model_rows.setdefault((key, timestamp, step), []).append(tuple(row))
    return model_rows


def _metrics(session: Session, row: Row, models: Dict[Point, List[Row]]) -> Iterator[Any]:
    """The point, once for each logged model that it is about: so MLflow gives models metrics."""
    from mlflow.entities import Metric

    _, key, value, timestamp, step, is_nan = row
    point = (key, float("nan") if is_nan else value, timestamp, step)
    about = {
        session.record.server_id(schema.MODEL, model): dataset
        for model, *dataset in models.get((key, timestamp, step), [])
    }
    about.pop("", None)
    for server_id, (name, digest) in about.items():
        yield Metric(*point, model_id=server_id, dataset_name=name, dataset_digest=digest)
    if not about:
        yield Metric(*point)


class _ServerPoints:
    """The points that the server has of one run, read metric by metric when they are asked for."""

    def __init__(self, session: Session, server_id: str) -> None:
        self._client, self._server_id = session.client, server_id
        self._points: Dict[str, Set[Tuple[Any, ...]]] = {}

    def has(self, row: Row) -> bool:
        _, key, value, timestamp, step, is_nan = row
        if key not in self._points:
            history = self._client.get_metric_history(self._server_id, key)
            self._points[key] = {
                (repr(float(metric.value)), metric.timestamp, metric.step) for metric in history
            }
        text = "nan" if is_nan else repr(float(value))
        return (text, timestamp, step) in self._points[key]


def send_inputs(session: Session, local: Entity, server: Entity) -> None:
    """Send data sets and models that the server's run doesn't name yet: it would list some twice."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    client, server_model = session.client, partial(session.record.server_id, schema.MODEL)
    here, there = local.raw, server.raw
    datasets_there = {_dataset_key(use) for use in there.inputs.dataset_inputs}
    # '' stands for models that aren't on the server.
    used_there = {"", *(use.model_id for use in there.inputs.model_inputs)}
    made_there = {"", *(output.model_id for output in there.outputs.model_outputs)}
    datasets = [
        use for use in here.inputs.dataset_inputs if _dataset_key(use) not in datasets_there
    ]
    inputs = [
        LoggedModelInput(model)
        for use in here.inputs.model_inputs
        if (model := server_model(use.model_id)) not in used_there
    ]
    outputs = [
        LoggedModelOutput(model, output.step)
        for output in here.outputs.model_outputs
        if (model := server_model(output.model_id)) not in made_there
    ]
    for items, send in (
        (datasets, lambda part: client.log_inputs(server.id, datasets=part)),
        (inputs, lambda part: client.log_inputs(server.id, models=part)),
        (outputs, lambda part: client.log_outputs(server.id, part)),
    ):
        session.send_all(items, _INPUTS, send, lambda _: f"An input or output of run {local.id}")


def _dataset_key(use: Any) -> Tuple[str, str]:
    return use.dataset.name, use.dataset.digest
