"""Makes a file store with one of everything through MLflow's own client: a program, not a module."""

from __future__ import annotations

import math
import sys

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
)

root = sys.argv[1]
mlflow.set_tracking_uri(root)
client = MlflowClient(root, root)
experiment = client.create_experiment("digits: one", tags={"group/sub": "x", "kürzel": "ä\nö"})
deleted = client.create_experiment("given up")


def run(where: str, name: str, end: str | None) -> str:
    made = client.create_run(
        where, run_name=name, tags={"a/b": "1", "note": "two\nlines\n", "empty": ""}
    )
    run_id: str = made.info.run_id
    client.log_param(run_id, "opt/lr", "0.1")
    client.log_param(run_id, "text", "it's: ünusual")
    odd = [1.0, math.nan, math.inf, -math.inf, 0.1 + 0.2, 1e-300, -0.0, 2.5]
    for step, value in enumerate(odd):
        client.log_metric(run_id, "val/loss", value, timestamp=5000 + step, step=step * 10)
    for timestamp, step, value in ((9, 1, 5.0), (8, 3, 1.0), (7, 3, 2.0), (8, 3, -1.0)):
        client.log_metric(run_id, "acc", value, timestamp=timestamp, step=step)
    client.log_metric(run_id, "only-nan", math.nan, timestamp=1, step=-5)
    if end:
        client.set_terminated(run_id, end)
    return run_id


first = run(experiment, "sunny: 1", None)
run(experiment, "007", "FAILED")
run("0", "true", "KILLED")
run(deleted, "gone", "FINISHED")
client.delete_run(run("0", "thrown away", "FINISHED"))
client.delete_experiment(deleted)

model = client.create_logged_model(
    experiment,
    "net",
    source_run_id=first,
    params={"depth": "3"},
    tags={"size": "big"},
    model_type="x",
)
client.finalize_logged_model(model.model_id, "READY")
client.create_logged_model("0", "unfinished")
data = Dataset(name="d", digest="abc", source_type="code", source='{"a": 1}', profile='{"n": 2}')
client.log_inputs(
    first,
    [DatasetInput(data, [InputTag("mlflow.data.context", "train"), InputTag("x", "y: z")])],
    [LoggedModelInput(model.model_id)],
)
client.log_outputs(first, [LoggedModelOutput(model.model_id, step=7)])
for number, value in enumerate([0.25, math.nan, math.inf]):
    client.log_metric(
        first,
        f"held/{number}",
        value,
        timestamp=100,
        step=number,
        model_id=model.model_id,
        dataset_name="d" if number else None,
        dataset_digest="abc" if number else None,
    )
client.set_terminated(first)

mlflow.set_experiment(experiment_id=experiment)


@mlflow.trace(name="answer")
def answer(question: int) -> int:
    return question + 1


answer(1)
mlflow.flush_trace_async_logging()
mlflow.log_feedback(trace_id=mlflow.get_last_active_trace_id(), name="good", value=True)

client.create_registered_model("net")
client.create_model_version("net", f"models:/{model.model_id}")
mlflow.register_prompt("greeting", "Hello {{name}}")
