"""The history of metrics, of runs and of logged models: only rows that weren't sent before.

The base remembers of each thing how many rows were sent and a hash over them: in all, and since
the last upload that came to its end. Rows that begin with the one or the other were sent. What the
server has is not doubled in any case: its key is the whole row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from remote.tracking import schema
from remote.upload.answers import Rejected
from remote.upload.runs import Runs
from remote.upload.session import Session, send_all

AT_ONCE = 1000
_TABLES = (
    (schema.RUN, "metrics", "run_uuid"),
    (schema.MODEL, "logged_model_metrics", "model_id"),
)


@dataclass(frozen=True)
class Chain:
    """A number of rows and a hash over them."""

    count: int = 0
    hash: str = ""

    def and_then(self, rows: Sequence[Sequence[Any]]) -> Chain:
        state = self.hash
        for row in rows:
            text = f"{state}{tuple(row)!r}".encode("utf-8", "replace")
            state = hashlib.blake2b(text, digest_size=12).hexdigest()
        return Chain(self.count + len(rows), state)


def send_metrics(session: Session, runs: Runs) -> None:
    for kind, table, column in _TABLES:
        for identity in session.source.owners(table, column):
            _send_thing(session, runs, kind, identity)
            session.advance(session.source.count_of(table, column, identity))


def forget_recent(session: Session) -> None:
    """The upload came to its end: the next delta begins after these rows."""
    session.base.run("UPDATE sent SET recent = 0, recent_hash = '' WHERE recent")


def _send_thing(session: Session, runs: Runs, kind: str, identity: str) -> None:
    if session.base.ours(kind, identity) is None:
        return
    total, recent = _sent(session, kind, identity)
    skip = _already(_rows(session, kind, identity), total, recent)
    rest = islice(_rows(session, kind, identity), skip, None)
    while part := list(islice(rest, AT_ONCE)):
        if (kind, identity) in session.blocked or not _send(session, runs, kind, part):
            session.block(kind, identity)
            return
        total, recent = total.and_then(part), recent.and_then(part)
        session.base.run(
            "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?)",
            kind,
            identity,
            total.count,
            total.hash,
            recent.count,
            recent.hash,
        )
        session.metric_rows += len(part)
        if kind == schema.RUN:
            session.touched.add(identity)


def _sent(session: Session, kind: str, identity: str) -> tuple[Chain, Chain]:
    row = session.base.one(
        "SELECT total, total_hash, recent, recent_hash FROM sent WHERE kind = ? AND id = ?",
        kind,
        identity,
    )
    return (Chain(row[0], row[1]), Chain(row[2], row[3])) if row else (Chain(), Chain())


def _already(rows: Iterator[tuple[Any, ...]], total: Chain, recent: Chain) -> int:
    """How many of the first rows were sent before."""
    chain, found = Chain(), 0
    for end in sorted({total.count, recent.count} - {0}):
        while part := list(islice(rows, min(AT_ONCE, end - chain.count))):
            chain = chain.and_then(part)
        if chain in (total, recent):
            found = chain.count
    return found


def _rows(session: Session, kind: str, identity: str) -> Iterator[tuple[Any, ...]]:
    """(run at the source, then what the request says) of each row, as it was written."""
    if kind == schema.RUN:
        for row in session.source.rows("metrics", "run_uuid", identity):
            value = "NaN" if row["is_nan"] else row["value"]
            yield identity, row["key"], value, row["timestamp"], row["step"]
        return
    for row in session.source.rows("logged_model_metrics", "model_id", identity):
        yield (
            row["run_id"],
            row["metric_name"],
            row["metric_value"],
            row["metric_timestamp_ms"],
            row["metric_step"],
            identity,
            row["dataset_name"],
            row["dataset_digest"],
        )


def _send(session: Session, runs: Runs, kind: str, part: list[tuple[Any, ...]]) -> bool:
    """False where the run is deleted on the server, so that it takes nothing."""
    for run, rows in groupby(part, key=lambda row: row[0]):
        made = session.base.made(schema.RUN, str(run))
        if made is None or made.ours is None or made.gone:
            continue
        items = [_metric(session, row) for row in rows]
        body = {"run_id": made.ours}
        try:
            try:
                session.server.post("runs/log-batch", {**body, "metrics": items})
            except Rejected as error:
                if not error.is_about_content or runs.is_deleted(made):
                    raise
                send_all(
                    items,
                    lambda some: session.server.post("runs/log-batch", {**body, "metrics": some}),
                    lambda item, error: session.note(
                        f"A value of {item['key']} of run {run} is left out: {error.message}"
                    ),
                )
        except Rejected as error:
            if error.is_gone:
                session.base.lose(schema.RUN, str(run))
                continue
            return False
    return True


def _metric(session: Session, row: tuple[Any, ...]) -> dict[str, Any]:
    _, key, value, timestamp, step, *of_model = row
    metric = {"key": key, "value": value, "timestamp": timestamp, "step": step}
    if of_model:
        model, name, digest = of_model
        metric["model_id"] = session.base.ours(schema.MODEL, model)
        if name and digest:
            metric.update(dataset_name=name, dataset_digest=digest)
    return metric
