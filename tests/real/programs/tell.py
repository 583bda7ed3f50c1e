"""The second witness: what an MlflowClient says of a store, in words that any MLflow would use."""

import hashlib
import json
import sys
import tempfile
from pathlib import Path


def told(client):
    """Everything but what differs from store to store: numbers of experiments, and paths."""
    experiments = client.search_experiments(view_type=3)
    names = {each.experiment_id: each.name for each in experiments}
    return {
        "experiments": {each.name: [each.lifecycle_stage, each.tags] for each in experiments},
        "runs": {
            run.info.run_id: _run(client, run, names)
            for run in client.search_runs(list(names), run_view_type=3, max_results=1000)
        },
        "models": [_model(client, each) for each in client.search_registered_models()],
    }


def _run(client, run, names):
    info = run.info
    return {
        "experiment": names[info.experiment_id],
        "info": [info.run_name, info.status, info.start_time, info.end_time, info.lifecycle_stage],
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {key: _number(value) for key, value in run.data.metrics.items()},
        "metrics": {key: _history(client, info.run_id, key) for key in run.data.metrics},
        "inputs": [
            [dict(each.dataset), [[tag.key, tag.value] for tag in each.tags]]
            for each in run.inputs.dataset_inputs
        ],
        "artifacts": _artifacts(client, info.run_id) if info.lifecycle_stage == "active" else {},
    }


def _history(client, run, key):
    points = client.get_metric_history(run, key)
    return sorted([each.step, each.timestamp, _number(each.value)] for each in points)


def _number(value):
    """NaN equals itself in words; and MLflow's databases hold the greatest number for infinity."""
    greatest = sys.float_info.max
    return repr(value if value != value else max(-greatest, min(value, greatest)))


def _artifacts(client, run):
    """The names of all files, with a digest of what is in them."""
    if not client.list_artifacts(run):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(client.download_artifacts(run, "", folder))
        return {
            str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }


def _model(client, model):
    versions = client.search_model_versions(f"name = '{model.name}'")
    return {
        "model": [model.name, model.description, model.tags],
        "aliases": {alias: int(version) for alias, version in model.aliases.items()},
        "versions": sorted(
            [int(each.version), each.run_id, each.status, each.tags, each.description]
            for each in versions
        ),
    }


if __name__ == "__main__":
    from mlflow import MlflowClient

    print(json.dumps(told(MlflowClient())))
