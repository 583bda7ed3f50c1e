"""A Hydra sweep in a run: the sweep, its jobs and the folds of each job, three levels deep."""

import json
import sys

import hydra
import mlflow
from hydra.core.hydra_config import HydraConfig

mlflow.set_experiment("sweeps")
folds = {}


@hydra.main(version_base="1.3", config_path=None)
def job(config):
    number = HydraConfig.get().job.num
    with mlflow.start_run(run_name=f"job {number}", nested=True) as run:
        mlflow.log_params(dict(config))
        folds[run.info.run_id] = [fold(index, float(config.lr)) for index in range(2)]
        mlflow.log_metric("score", float(config.lr))


def fold(index, rate):
    with mlflow.start_run(run_name=f"fold {index}", nested=True) as run:
        mlflow.log_metric("loss", rate * (index + 1))
        mlflow.log_text(f"fold {index}", "fold.txt")
    return run.info.run_id


sys.argv[1:] = ["-m", "+lr=0.1,0.2"]
with mlflow.start_run(run_name="sweep") as sweep:
    job()
print(json.dumps({"sweep": sweep.info.run_id, "folds": folds}))
