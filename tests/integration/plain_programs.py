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
  main: {command: "python main.py"}
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
    "clean_environment": """
import mlflow, os, subprocess, sys
with mlflow.start_run(run_name="mine"):
    mlflow.log_param("a", 1)
here = {"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
code = "import mlflow; mlflow.MlflowClient().set_experiment_tag('0', 'k', 'v')"
subprocess.run([sys.executable, "-c", code], env=here, check=True)
""",
    "thread_within": """
import mlflow, threading
with mlflow.start_run(run_name="parent") as run:
    def fit(number):
        options = dict(nested=True, parent_run_id=run.info.run_id)
        with mlflow.start_run(run_name=f"t{number}", **options):
            mlflow.log_metric("a", number)
        mlflow.log_metric(f"of {number}", 1, run_id=run.info.run_id)
    threads = [threading.Thread(target=fit, args=(number,)) for number in range(2)]
    [t.start() for t in threads], [t.join() for t in threads]
""",
    "resumed_tags": """
import mlflow
with mlflow.start_run(run_name="first", tags={"a": "1"}) as run:
    mlflow.log_text("before", "notes/a.txt")
with mlflow.start_run(run_id=run.info.run_id, tags={"b": "2"}):
    mlflow.set_tags({"a": "changed", "c": "3"})
    mlflow.delete_tag("b")
    mlflow.log_dict({"x": 1}, "notes/b.json")
mlflow.set_tag("d", "4")
mlflow.set_tag("mlflow.runName", "second")
""",
    "started_by_hand": """
import mlflow
run = mlflow.start_run()
assert mlflow.active_run().info.run_id == run.info.run_id
mlflow.MlflowClient().update_run(run.info.run_id, name="by hand")
mlflow.log_metrics({"a": 1, "b": float("nan")}, step=3)
mlflow.end_run("KILLED")
assert mlflow.last_active_run().info.run_id == run.info.run_id
""",
    "deleted_run": """
import mlflow
with mlflow.start_run(run_name="wrong") as run:
    mlflow.log_param("a", 1)
mlflow.delete_run(run.info.run_id)
with mlflow.start_run(run_name="right"):
    mlflow.log_param("a", 2)
""",
    "search": """
import mlflow
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True, max_tuning_runs=2)
with mlflow.start_run(run_name="grid"):
    data = [[float(x)] for x in range(8)]
    GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=2).fit(data, range(8))
for run in mlflow.search_runs(output_format="list"):
    mlflow.MlflowClient().update_run(run.info.run_id, name=run.data.params.get("alpha", "grid"))
""",
    "located": """
import mlflow
number = mlflow.create_experiment("located", artifact_location="art")
with mlflow.start_run(run_name="mine", experiment_id=number):
    mlflow.log_text("x", "notes/a.txt")
""",
    "experiment_of_a_variable": """
import os
os.environ["MLFLOW_EXPERIMENT_NAME"] = "by a variable"
import mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1)
""",
    "deleted_experiment": """
import mlflow
experiment = mlflow.set_experiment("gone")
with mlflow.start_run(run_name="mine"):
    pass
mlflow.delete_experiment(experiment.experiment_id)
mlflow.set_experiment("kept")
with mlflow.start_run(run_name="second"):
    pass
""",
    "continued": """
import mlflow
mlflow.set_experiment("continued")
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("a", 1, step=1)
[run] = mlflow.search_runs(filter_string="attributes.run_name = 'mine'", output_format="list")
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("a", 2, step=2)
    with mlflow.start_run(run_name="below", nested=True):
        mlflow.log_metric("b", 2)
""",
    "spawned_in_a_pool": """
import mlflow
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
def fit(number):
    with mlflow.start_run(run_name=f"p{number}"):
        mlflow.log_param("number", number)
    return number
if __name__ == "__main__":
    mlflow.set_experiment("pool")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        best = max(pool.map(fit, range(2)))
    with mlflow.start_run(run_name="best"):
        mlflow.log_param("best", best)
""",
    "steps": """
import mlflow
with mlflow.start_run(run_name="steps"):
    mlflow.projects.run(".", "step", parameters={"rate": 0.5}, env_manager="local", run_name="fit 0.5")
""",
    # After one of the shell's.
    "loop": """
import subprocess, sys
for rate in ("0.01",):
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
}
