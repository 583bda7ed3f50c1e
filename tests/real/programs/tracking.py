"""What MLflow 2.16 and all later ones can record; the facts that can't be foretold as JSON."""

import json
import logging

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric

logging.getLogger("alembic").setLevel(logging.WARNING)
client = MlflowClient()
mlflow.set_experiment("vision / größe")
mlflow.set_experiment_tag("team", "eyes")


def curve(rate):
    return [
        Metric("loss", 1 / (1 + rate * step), 1_700_000_000_000 + step, step) for step in range(25)
    ]


def train(name, rate):
    """One run with a bit of everything."""
    with mlflow.start_run(run_name=name, description=f"a *note* on {name}") as run:
        mlflow.log_params({"rate": rate, "text": 'it\'s 100% "fine"\n日本'})
        mlflow.set_tag("colour", "red")
        client.log_batch(run.info.run_id, curve(rate))
        for step, value in enumerate([0.5, float("nan"), float("inf"), float("-inf")]):
            mlflow.log_metric("odd/values", value, step=step)
        data = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), name="points")
        mlflow.log_input(data, context="training")
        mlflow.log_text(f"hello from {name}", "notes/hello.txt")
        mlflow.log_dict({"name": name}, "summary.json")
        with mlflow.start_run(run_name=f"{name} fold", nested=True):
            mlflow.log_metric("loss", rate)
    return run.info.run_id


@mlflow.trace(name="answer")
def answer(question):
    with mlflow.start_span(name="look up") as span:
        span.set_inputs({"question": question})
        span.set_outputs(["a page"])
    return question.upper()


class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * value for value in model_input]


runs = {name: train(name, rate) for name, rate in (("slow", 0.1), ("fast", 1.0))}

deleted = client.create_run("0", run_name="thrown away").info.run_id
client.set_terminated(deleted, "FAILED")
client.delete_run(deleted)
old = client.create_experiment("thrown away")
client.delete_experiment(old)

answer("why")
with mlflow.start_run(run_name="doubler") as run:
    place = "artifact_path" if mlflow.__version__.startswith("2.") else "name"
    mlflow.pyfunc.log_model(
        **{place: "model"},
        python_model=Doubler(),
        pip_requirements=[],
        registered_model_name="doubler",
    )
client.set_registered_model_alias("doubler", "champion", 1)
client.set_model_version_tag("doubler", "1", "checked", "yes")
client.update_registered_model("doubler", "Doubles what it gets.")

print(json.dumps({"runs": runs, "deleted": deleted, "model_run": run.info.run_id}))
