"""Programs that log to MLflow as people write them; none knows that it may be a job."""

from __future__ import annotations

#: Modules that they import.
MODULES = {
    "choosing.py": 'import mlflow\nmlflow.set_experiment("chosen")\n',
    "moving.py": 'import mlflow\nmlflow.set_tracking_uri("sqlite:///own.db")\n',
    "fit.py": """
import sys, mlflow
rate = sys.argv[1]
with mlflow.start_run(run_name=f"fit {rate}"):
    mlflow.log_param("rate", rate)
    mlflow.log_metric("loss", float(rate))
""",
    "tool.py": """
import mlflow
def main():
    import choosing
    with mlflow.start_run(run_name="tool"):
        mlflow.log_metric("a", 4)
""",
    "MLproject": """
name: steps
entry_points:
  main: {command: "python steps.py"}
  step: {parameters: {rate: float}, command: "python fit.py {rate}"}
""",
}

PROGRAMS = {
    "one": """
import mlflow
with mlflow.start_run(run_name="mine", tags={"k": "v"}, description="note"):
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
""",
    "no_start": 'import mlflow\nmlflow.log_param("a", 1)\nmlflow.set_tag("mlflow.runName", "mine")\n',
    "several": """
import mlflow
for rate in (0.1, 0.01):
    with mlflow.start_run(run_name=f"r{rate}"):
        mlflow.log_param("rate", rate)
best = mlflow.search_runs(order_by=["params.rate"])
assert len(best) == 2, best
""",
    "nested": """
import mlflow
with mlflow.start_run(run_name="outer"):
    for fold in range(2):
        with mlflow.start_run(run_name=f"fold {fold}", nested=True):
            mlflow.log_metric("score", fold)
""",
    "failing": """
import mlflow
with mlflow.start_run(run_name="bad"):
    mlflow.log_metric("a", 1)
    raise SystemExit("no")
""",
    "fork": """
import mlflow, multiprocessing
def work(number):
    with mlflow.start_run(run_name=f"w{number}"):
        mlflow.log_metric("a", number)
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(number,)) for number in range(2)]
[w.start() for w in workers], [w.join() for w in workers]
""",
    "fork_within": """
import mlflow, os
with mlflow.start_run(run_name="parent") as run:
    if not os.fork():
        mlflow.MlflowClient().log_metric(run.info.run_id, "child", 1)
        os._exit(0)
    os.wait()
    mlflow.log_metric("parent", 1)
""",
    "threads": """
import mlflow, threading
from sklearn.linear_model import LinearRegression
mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
lock = threading.Lock()
def fit(number):
    with mlflow.start_run(run_name=f"t{number}"):
        # MLflow takes two fits at one moment for one within the other.
        with lock:
            LinearRegression(positive=bool(number)).fit([[0.0], [1.0]], [0.0, 1.0])
threads = [threading.Thread(target=fit, args=(number,)) for number in range(2)]
[t.start() for t in threads], [t.join() for t in threads]
""",
    "import_chooses": """
import choosing, mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1)
""",
    "two_experiments": """
import mlflow
for name in ("first", "second"):
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("a", 1)
""",
    "experiment_at_end": """
import mlflow
with mlflow.start_run(run_name="before"):
    mlflow.log_metric("a", 1)
mlflow.set_experiment("late")
with mlflow.start_run(run_name="after"):
    mlflow.log_metric("a", 2)
""",
    "experiment_by_id": """
import mlflow
number = mlflow.create_experiment("by id")
with mlflow.start_run(run_name="mine", experiment_id=number):
    mlflow.log_param("a", 1)
""",
    "import_moves": """
import moving, mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1)
""",
    "uri_by_argument": """
import sys, mlflow
mlflow.set_tracking_uri("sqlite:///" + (sys.argv[1:] or ["typed.db"])[0])
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1)
""",
    "store_and_back": """
import mlflow
own = mlflow.get_tracking_uri()
mlflow.set_tracking_uri("sqlite:///own.db")
with mlflow.start_run(run_name="there"):
    mlflow.log_metric("a", 1)
mlflow.set_tracking_uri(own)
with mlflow.start_run(run_name="here"):
    mlflow.log_metric("a", 2)
""",
    "own_store_spelled": """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("e")
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1)
""",
    "client": """
import mlflow
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("c"), run_name="by client")
client.log_metric(run.info.run_id, "a", 1)
client.set_terminated(run.info.run_id)
""",
    "resumed": """
import mlflow
client = mlflow.MlflowClient()
with mlflow.start_run(run_name="first") as run:
    mlflow.log_metric("a", 1, step=0)
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("a", 2, step=1)
with mlflow.start_run(run_name="second", parent_run_id=run.info.run_id):
    mlflow.log_metric("b", 1)
""",
    # lightning.pytorch.loggers.MLFlowLogger, as its `experiment` and `finalize` do it.
    "lightning_logger": """
import mlflow
from mlflow.tracking import MlflowClient, context
client = MlflowClient(mlflow.get_tracking_uri())
experiment = client.get_experiment_by_name("lightning_logs")
number = experiment.experiment_id if experiment else client.create_experiment("lightning_logs")
tags = context.registry.resolve_tags({"mlflow.runName": "lit"})
run_id = client.create_run(experiment_id=number, tags=tags).info.run_id
client.log_param(run_id, "lr", 0.1)
for step in range(2):
    client.log_metric(run_id, "loss", step, step=step)
client.set_terminated(run_id, status="FINISHED")
""",
    # transformers.integrations.MLflowCallback, as its `setup` and `on_log` do it.
    "transformers_callback": """
import mlflow
mlflow.set_tracking_uri(mlflow.get_tracking_uri())
mlflow.set_experiment("trainer")
if mlflow.active_run() is None:
    mlflow.start_run(run_name="hf", nested=False)
mlflow.log_params({"epochs": 1})
mlflow.log_metrics({"loss": 0.5}, step=1)
mlflow.end_run()
""",
    # kedro_mlflow.framework.hooks.MlflowHook, before and after a pipeline's run.
    "kedro_hook": """
import mlflow
experiment = mlflow.MlflowClient().get_experiment_by_name("kedro")
number = experiment.experiment_id if experiment else mlflow.create_experiment("kedro")
mlflow.set_experiment(experiment_id=number)
mlflow.start_run(experiment_id=number, run_name="__default__", nested=True)
mlflow.set_tags({"pipeline": "__default__"})
mlflow.log_params({"node.rate": "0.1"})
mlflow.end_run()
""",
    "steps": """
import mlflow
with mlflow.start_run(run_name="steps"):
    mlflow.projects.run(".", "step", parameters={"rate": 0.5}, env_manager="local", run_name="fit 0.5")
""",
    "loop": """
import subprocess, sys
for rate in ("0.1", "0.01"):
    subprocess.run([sys.executable, "fit.py", rate], check=True)
""",
    "joblib_fits": """
import mlflow
from joblib import Parallel, delayed
def fit(number):
    with mlflow.start_run(run_name=f"k{number}"):
        mlflow.log_metric("score", number)
if __name__ == "__main__":
    mlflow.set_experiment("joblib")
    Parallel(2)(delayed(fit)(number) for number in range(4))
""",
    "spawn": """
import mlflow, multiprocessing
def work(number):
    with mlflow.start_run(run_name=f"s{number}"):
        mlflow.log_metric("a", number)
if __name__ == "__main__":
    with mlflow.start_run(run_name="main"):
        worker = multiprocessing.get_context("spawn").Process(target=work, args=(1,))
        worker.start(), worker.join()
""",
}
