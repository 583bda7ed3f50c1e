"""What logs to MLflow by itself: Lightning's logger, and a Hydra sweep three levels deep."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.compared import Records, differences
from tests.real.conftest import Make
from tests.real.world import Laptop, Server, execute

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(laptop: Make, lit: Server) -> Laptop:
    made = laptop("of lightning")
    summary = made.pull(lit)
    assert summary.left_out == summary.refused == summary.conflicts == ()
    return made


def test_lightnings_run_is_whole(here: Laptop, lit: Server) -> None:
    theirs, ours = Records(lit.store, lit.root), Records(here.store, here.root)
    assert differences(theirs, ours) == []
    run = here.client.get_run(lit.facts["run"])
    assert run.info.status == "FINISHED" and run.data.params["rate"] == "0.1"
    assert run.data.tags["kind"] == "line"
    assert len(here.client.get_metric_history(lit.facts["run"], "train_loss")) == 6


def test_lightnings_checkpoint_loads(
    here: Laptop, lit: Server, lightning_python: Path, tmp_path: Path
) -> None:
    name = Path(lit.facts["checkpoint"]).stem
    folder = here.client.download_artifacts(lit.facts["run"], name, str(tmp_path))
    [checkpoint] = Path(folder).rglob("*.ckpt")
    again = execute(lightning_python, "lit.py", str(checkpoint), cwd=tmp_path)
    assert again["predictions"] == lit.facts["predictions"]


def test_a_sweep_keeps_its_three_levels(laptop: Make, sweep: Server) -> None:
    made = laptop("of a sweep")
    made.pull(sweep)
    theirs, ours = Records(sweep.store, sweep.root), Records(made.store, made.root)
    assert differences(theirs, ours) == []
    client = made.client
    experiment = client.get_experiment_by_name("sweeps").experiment_id

    def children(parent: str) -> dict[str, str]:
        found = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
        return {run.info.run_id: run.info.run_name for run in found}

    jobs = children(sweep.facts["sweep"])
    assert jobs.keys() == sweep.facts["folds"].keys()
    assert sorted(jobs.values()) == ["job 0", "job 1"]
    for job, folds in sweep.facts["folds"].items():
        assert children(job).keys() == set(folds)
        assert client.get_parent_run(job).info.run_id == sweep.facts["sweep"]
        assert [each.path for each in client.list_artifacts(folds[0])] == ["fold.txt"]
    assert list((made.root / "multirun").rglob(".hydra/overrides.yaml"))
