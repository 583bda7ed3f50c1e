"""Datasets that runs used, and logged models that runs used or made."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from remote.tracking import schema
from remote.upload.answers import Rejected
from remote.upload.base import Made
from remote.upload.runs import Runs
from remote.upload.session import Session
from remote.upload.source import Row

_AT_ONCE = 20
"""Datasets may have long schemas and profiles."""
_DATASET_COLUMNS = {
    "name": "name",
    "digest": "digest",
    "dataset_source_type": "source_type",
    "dataset_source": "source",
    "dataset_schema": "schema",
    "dataset_profile": "profile",
}
"""As a row calls them, and as a request does."""


def remember_datasets(session: Session) -> None:
    """A run may use one that came with an earlier delta."""
    with session.base.together():
        for row in session.source.all("datasets"):
            content = {name: row[column] for column, name in _DATASET_COLUMNS.items()}
            content = {name: value for name, value in content.items() if value is not None}
            session.base.run(
                "INSERT OR REPLACE INTO dataset VALUES (?, ?)",
                row["dataset_uuid"],
                json.dumps(content),
            )


def send_inputs(session: Session, runs: Runs) -> None:
    """Each run's at once. What the server has already, it leaves as it is."""
    for column, send in (("destination_id", _send_datasets), ("source_id", _send_models)):
        for identity in session.source.owners("inputs", column):
            made = session.base.made(schema.RUN, identity)
            if made is None or made.ours is None or made.gone:
                continue
            try:
                send(session, identity, made)
            except Rejected as error:
                if error.is_gone:
                    session.base.lose(schema.RUN, identity)
                elif runs.is_deleted(made):
                    session.block(schema.RUN, identity)
                else:
                    session.note(f"Inputs of run {identity} are left out: {error.message}")


def _send_datasets(session: Session, identity: str, made: Made) -> None:
    rows = (
        row
        for row in session.source.rows("inputs", "destination_id", identity)
        if (row["source_type"], row["destination_type"]) == ("DATASET", "RUN")
    )
    inputs = (each for each in (_dataset_input(session, row) for row in rows) if each)
    while part := list(islice(inputs, _AT_ONCE)):
        session.server.post("runs/log-inputs", {"run_id": made.ours, "datasets": part})


def _dataset_input(session: Session, row: Row) -> dict[str, Any] | None:
    found = session.base.one("SELECT content FROM dataset WHERE theirs = ?", row["source_id"])
    tags = session.source.rows("input_tags", "input_uuid", row["input_uuid"])
    pairs = [{"key": tag["name"], "value": tag["value"]} for tag in tags]
    return {"dataset": json.loads(found[0]), "tags": pairs} if found else None


def _send_models(session: Session, identity: str, made: Made) -> None:
    used: list[dict[str, Any]] = []
    logged: list[dict[str, Any]] = []
    for row in session.source.rows("inputs", "source_id", identity):
        model = session.base.ours(schema.MODEL, row["destination_id"])
        if model and row["source_type"] == "RUN_INPUT":
            used.append({"model_id": model})
        if model and row["source_type"] == "RUN_OUTPUT":
            logged.append({"model_id": model, "step": _step(row)})
    if used:
        session.server.post("runs/log-inputs", {"run_id": made.ours, "models": used})
    if logged:
        # The server fails on one that it has.
        run = session.server.get("runs/get", run_id=str(made.ours))["run"]
        there = {each["model_id"] for each in run.get("outputs", {}).get("model_outputs", [])}
        new = [each for each in logged if each["model_id"] not in there]
        if new:
            session.server.post("runs/outputs", {"run_id": made.ours, "models": new})


def _step(row: Row) -> int:
    return int(row.get("step") or 0)
