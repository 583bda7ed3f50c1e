"""What a dashboard is told: jobs with the curve of their newest metric, and GPUs, in one answer."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.jobs import overview
from remote.agent.jobs.overview import describe
from remote.agent.tracking import run_rows
from remote.errors import TargetError
from remote.files import read_json, write_json
from remote.job.messages.gpus import GpusRequest
from remote.job.messages.overview import OverviewAnswer, OverviewRequest
from remote.job.status import FINISHED, RUNNING
from remote.tracking.store import connect_read_only
from tests.agent.job_folder import IDS, KEY, add
from tests.fakegpu import FakeGpus
from tests.stores import empty_store

pytestmark = pytest.mark.mlflow

RUN = "a" * 32


@pytest.fixture
def store(root: Path, child: subprocess.Popen[bytes]) -> Path:
    """Of a target with a job that has ended, and one that logs two metrics."""
    add(root, IDS[0], state=FINISHED)
    going = add(root, IDS[1], state=RUNNING, worker=processes.identity(child.pid))
    asked = read_json(going.job)
    assert isinstance(asked, dict)
    write_json(going.job, {**asked, "mlflow_run": RUN})
    store = empty_store(root)
    tags = {"mlflow.runName": "train", "mlflow.user": "ada"}
    run_rows.begin(store, experiment="e", run_id=RUN, tags=tags, start_ms=1)
    return store


def asked(leases: Path, *, key: str = KEY, newest: int = 0, points: int = 0) -> OverviewRequest:
    gpus = GpusRequest(key=key, leases=str(leases))
    return OverviewRequest(key=key, newest=newest, gpus=gpus, points=points)


def log(store: Path, key: str, values: list[float], *, step: int = 1) -> None:
    """Have a run log values as MLflow does, each a `step` after the one before."""
    points = [run_rows.Point(key, value, 1000 + n, n * step) for n, value in enumerate(values)]
    with run_rows.writing(store) as database:
        for verb, table in (("", "metrics"), ("OR REPLACE", "latest_metrics")):
            database.executemany(
                f"INSERT {verb} INTO {table} (key, value, timestamp, step, run_uuid, is_nan)"
                " VALUES (?, ?, ?, ?, ?, 0)",
                [(*point, RUN) for point in points],
            )


def test_jobs_curves_and_gpus_come_in_one_answer(
    root: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeGpus(tmp_path / "gpus", count=2)
    monkeypatch.setenv("PATH", fake.path())
    log(store, "loss", [9.0, 8.0])
    log(store, "accuracy", [n / 100 for n in range(100)])
    request = asked(tmp_path, newest=5, points=40)
    answer = describe(request)
    assert OverviewAnswer.from_json(json.loads(json.dumps(answer.to_json())), "answer") == answer
    ended, going = answer.jobs.jobs
    assert (ended.state, ended.metrics) == (FINISHED, ())
    assert [metric.key for metric in going.metrics] == ["accuracy", "loss"]
    assert answer.curves == {going.id: tuple(n / 100 for n in range(60, 100))}
    assert answer.gpus and [gpu.index for gpu in answer.gpus.gpus] == [0, 1]
    # The newest CUDA is nothing that changes while one looks.
    assert len(fake.calls()) == 2
    fake.change(failure="driver")
    broken = describe(request)
    assert broken.jobs.jobs == answer.jobs.jobs and broken.gpus is None
    assert "communicate with the NVIDIA driver" in broken.gpu_fault


def test_a_metric_that_is_logged_without_steps_has_its_curve_too(root: Path, store: Path) -> None:
    log(store, "loss", [3.0, 2.0, 1.0], step=0)
    answer = describe(asked(root, points=2))
    assert answer.curves == {IDS[1]: (2.0, 1.0)}


def test_a_curve_is_read_by_an_index_whatever_else_the_store_holds(store: Path) -> None:
    with closing(connect_read_only(store)) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {overview.CURVE}", (RUN, "loss", 40))
        [(*_, step)] = plan.fetchall()
    assert step.startswith("SEARCH metrics USING INDEX index_metrics_run_uuid_key_step")


def test_a_target_that_was_never_pushed_to_is_told(isolated: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="not pushed to"):
        describe(asked(tmp_path, key="1" * 16))
