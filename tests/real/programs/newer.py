"""What only MLflow 3.18 can record: a skill, and who saw an issue last."""

import runpy
from pathlib import Path

import mlflow
from mlflow.tracking._tracking_service.utils import _get_store

runpy.run_path(str(Path(__file__).with_name("tracking.py")), run_name="__main__")

store = _get_store()
store.create_skill_version(
    "greet", source_type="git", source="https://example.org/skills.git", ref="main"
)
experiment = mlflow.get_experiment_by_name("vision / größe").experiment_id
store.create_issue(experiment, "blurred", "the pictures are blurred", metadata={"where": "left"})
