"""What any MLflow since 2.9 can record, and what the younger ones can besides."""

import contextlib
import time
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

client = MlflowClient()
experiment = client.create_experiment("of a minor", str(Path("mlruns/1").resolve()))
mlflow.set_experiment("of a minor")


def run(name):
    made = client.create_run(experiment, run_name=name, tags={"colour": "red"}).info
    client.log_param(made.run_id, "lr", "0.1")
    now = int(time.time() * 1000)
    points = [Metric("loss", 1 / (step + 1), now + step, step) for step in range(5)]
    client.log_batch(made.run_id, [*points, Metric("odd", float("nan"), now, 0)])
    data = Dataset("points", "d1", "local", '{"uri": "points.csv"}')
    client.log_inputs(made.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
    client.log_text(made.run_id, f"hello from {name}", "notes/hello.txt")
    client.set_terminated(made.run_id)
    return made


first = run("first")
client.delete_run(run("thrown away").run_id)
client.create_registered_model("doubler", {"team": "a"}, "doubles")
version = client.create_model_version("doubler", f"{first.artifact_uri}/notes", first.run_id)
client.set_registered_model_alias("doubler", "champion", version.version)
client.set_model_version_tag("doubler", version.version, "checked", "yes")

if hasattr(client, "create_logged_model"):
    model = client.create_logged_model(experiment, "net", first.run_id, {"kind": "mlp"})
    client.set_logged_model_tags(model.model_id, {"good": "yes"})
    client.finalize_logged_model(model.model_id, "READY")


def trace(number):
    tokens = {"input_tokens": 10, "output_tokens": number, "total_tokens": 10 + number}
    attributes = {"mlflow.chat.tokenUsage": tokens, "mlflow.llm.model": "gpt-x"}
    attributes["mlflow.llm.cost"] = {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}
    with mlflow.start_span(name="chat_turn") as span:
        span.set_inputs({"question": number})
        with mlflow.start_span(name="model", span_type="CHAT_MODEL") as inner:
            inner.set_attributes(attributes)
        span.set_outputs("because")
        # It is there since 2.15, and takes metadata since 3.0.
        with contextlib.suppress(TypeError, AttributeError):
            mlflow.update_current_trace(metadata={"mlflow.trace.session": f"session {number % 2}"})
    return getattr(span, "trace_id", None) or span.request_id


if hasattr(mlflow, "start_span"):
    traces = [trace(number) for number in range(3)]
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()
    client.set_trace_tag(traces[0], "topic", "numbers")
    if hasattr(mlflow, "log_feedback"):
        # Of a SQL store, since 3.2.
        with contextlib.suppress(Exception):
            mlflow.log_feedback(trace_id=traces[0], name="right", value=0.7)
            mlflow.log_feedback(trace_id=traces[1], name="right", value=True)
            mlflow.log_feedback(trace_id=traces[2], name="tone", value="kind")
            mlflow.log_expectation(trace_id=traces[0], name="expected", value={"answer": "why"})
