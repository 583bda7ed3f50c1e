"""Data sets and logged models that a run used, and the models that it made."""

from __future__ import annotations

from typing import Any

from remote.tracking import schema
from remote.tracking.export.export_session import Session

_AT_ONCE = 20
"""Data sets may have long schemas and profiles."""


def send_inputs(session: Session, run_id: str, local: Any, server: Any) -> None:
    """Send those that the server's run doesn't name yet: it would list some of them twice."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    client, server_id, model_id = session.client, server.info.run_id, session.record.server_id
    data = {(each.dataset.name, each.dataset.digest) for each in server.inputs.dataset_inputs}
    used = {"", *(each.model_id for each in server.inputs.model_inputs)}
    made = {"", *(each.model_id for each in server.outputs.model_outputs)}
    datasets = [
        each
        for each in local.inputs.dataset_inputs
        if (each.dataset.name, each.dataset.digest) not in data
    ]
    inputs = [
        LoggedModelInput(model)
        for each in local.inputs.model_inputs
        if (model := model_id(schema.MODEL, each.model_id)) not in used
    ]
    outputs = [
        LoggedModelOutput(model, each.step)
        for each in local.outputs.model_outputs
        if (model := model_id(schema.MODEL, each.model_id)) not in made
    ]
    for items, send in (
        (datasets, lambda some: client.log_inputs(server_id, datasets=some)),
        (inputs, lambda some: client.log_inputs(server_id, models=some)),
        (outputs, lambda some: client.log_outputs(server_id, some)),
    ):
        session.send_all(items, _AT_ONCE, send, lambda _: f"An input or output of run {run_id}")
