"""docs/task-classes.md, typed and looked at: by hand, as jobs here and there, in the browser."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_digits

from lib.settings import CATALOG, OPTIMIZER, PARAMETERS
from scripts.sshd import PrivateSshd
from tests.integration.witness import Run, Store
from tests.real import browser
from tests.real.ui import served
from tests.research.conftest import Laboratory, Make
from tests.research.researcher import Step, begin, typed
from tests.research.warm_python import OF_TASKS

pytestmark = pytest.mark.timeout(900)
FILES = (CATALOG, PARAMETERS, OPTIMIZER)
PLOTS = ["accuracy.png", "confusion_matrix.png", "loss.png"]


@pytest.fixture(scope="module")
def lab(laboratory: Make) -> Iterator[Laboratory]:
    with laboratory("tasks").warm(OF_TASKS) as warm:
        yield warm


@pytest.fixture(scope="module")
def steps(lab: Laboratory, sshd: PrivateSshd) -> list[Step]:
    """The commands of the document, typed; the pages of `mlflow ui` are looked at below."""
    further = {"inv remote-run": "--set epochs=3 --tag purpose=trial"}
    return begin(lab, sshd).read("task-classes.md", but=("mlflow ui",), further=further)


def runs(lab: Laboratory, **tags: str) -> list[Run]:
    """The runs with these tags, the newest first."""
    found = [
        run for run in Store(lab.root / "mlflow.db").runs() if tags.items() <= run.tags.items()
    ]
    return sorted(found, key=lambda run: -run.start_time)


def assert_recorded(run: Run, lab: Laboratory, epochs: int) -> None:
    """All of a task is in its run: by plain SQL and in the files."""
    assert (run.status, run.experiment) == ("FINISHED", "Digits")
    assert run.params["epochs"] == str(epochs) and run.params["seed"] == "0"
    assert [step for step, _ in run.history("accuracy")] == list(range(1, epochs + 1))
    assert run.history("loss")[-1][1] <= run.history("loss")[0][1]
    for name in FILES:
        logged = (run.artifacts / "config" / name).read_text("utf-8")
        assert logged == (lab.root / "config" / name).read_text("utf-8")
    assert sorted(path.name for path in (run.artifacts / "plots").iterdir()) == PLOTS


def predictions(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_by_hand_from_anywhere(lab: Laboratory, tmp_path: Path) -> None:
    """Data and records lie in the project; images are found from where their user stands."""
    elsewhere = tmp_path / "日本 語"
    elsewhere.mkdir()
    words = ["--task", "Digits_A", "--set", "epochs=2", "--set", "hidden=[16]", "--tag", "who=it's"]
    done = in_folder(lab, elsewhere, "train.py", *words)
    assert done.returncode == 0, done.stderr
    (run,) = runs(lab, task="Digits_A", who="it's")
    assert_recorded(run, lab, 2)
    assert run.params["hidden"] == "[16]" and run.id in done.stdout
    np.save(elsewhere / "a b.npy", load_digits().images[:5] / 16)
    told = in_folder(lab, elsewhere, "inference.py", "--run", run.id, "--images", "a b.npy")
    assert told.returncode == 0 and "5 images" in told.stdout, told.stderr
    (own,) = runs(lab, inference_of=run.id)
    assert own.tags["mlflow.parentRunId"] == run.id and own.experiment == "Digits"
    rows = predictions(lab.root / "data/results/experiments/predictions" / f"{own.id}.csv")
    assert len(rows) == 5 and set(rows[0]) == {"image", "guessed", "certainty"}
    assert os.listdir(elsewhere) == ["a b.npy"]


def in_folder(
    lab: Laboratory, folder: Path, script: str, *words: str
) -> subprocess.CompletedProcess[str]:
    argv = [str(lab.bin / "python"), str(lab.root / "src" / script), *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=280)


def test_by_hand_as_the_document_says(lab: Laboratory, steps: list[Step]) -> None:
    assert typed(steps, "--list").said.split()[0] == "Digits_A"
    (first,) = typed(steps, "--task Digits_A").runs
    assert_recorded(first, lab, 10)
    (second,) = typed(steps, "--task Digits_B --set epochs=5").runs
    assert_recorded(second, lab, 5)
    assert second.tags["purpose"] == "trial"
    (guessed,) = typed(steps, "--images digits").runs
    assert guessed.tags["inference_of"] == first.id


def test_a_job_there_its_run_here_and_predictions_with_its_model(
    lab: Laboratory, steps: list[Step], sshd: PrivateSshd, tmp_path: Path
) -> None:
    (run,) = typed(steps, "inv remote-run").runs
    assert_recorded(run, lab, 3)
    assert run.tags["remote.target"].startswith("gpu:tasks") and run.tags["purpose"] == "trial"
    assert run.params["momentum"] == "0.9"
    assert "mlflow.parentRunId" not in run.tags and run.tags["remote.exit_code"] == "0"

    told = typed(steps, "src/inference.py --run Digits_B")
    (own,) = told.runs
    assert own.tags["inference_of"] == run.id
    rows = predictions(own.artifacts / f"{own.id}.csv")
    right = [row["guessed"] == row["shows"] for row in rows]
    # The very images that it was tested with there, by the very model.
    last = run.history("accuracy")[-1][1]
    assert sum(right) / len(right) == pytest.approx(last) and f"accuracy {last:.3f}" in told.said
    assert own.history("accuracy")[0][1] == pytest.approx(last)

    client = MlflowClient(f"sqlite:///{lab.root}/mlflow.db")
    experiment = client.get_experiment_by_name("Digits")
    assert experiment
    found = client.search_runs([experiment.experiment_id], "tags.task = 'Digits_B'")
    here = typed(steps, "--task Digits_B --set epochs=5").runs
    assert {each.info.run_id for each in found} == {run.id, *(each.id for each in here)}
    assert {each.path for each in client.list_artifacts(run.id, "config")} >= {
        f"config/{name}" for name in FILES
    }
    look(lab, f"{experiment.experiment_id}/runs", run, tmp_path / "profile")


def look(lab: Laboratory, runs: str, run: Run, profile: Path) -> None:
    """The run is in the list of its experiment, and opens with all that it has."""
    with served(lab.root, lab.bin) as ui, browser.running(profile) as chromium:
        base = f"{ui}/#/experiments/{runs}"
        with chromium.page(base) as page:
            page.shows("Digits", "Digits_B")
        with chromium.page(f"{base}/{run.id}") as page:
            page.shows("Digits_B", "learning_rate_init", "purpose", run.tags["remote.job"])
        with chromium.page(f"{base}/{run.id}/artifacts/config/effective.yaml") as page:
            page.shows("config", "plots", "classes.json", "momentum: 0.9")


def test_the_task_of_ones_own_that_the_document_tells(lab: Laboratory, steps: list[Step]) -> None:
    (run,) = typed(steps, "--task Digits_C").runs
    assert_recorded(run, lab, 10)
    assert run.params["hidden"] == "[128, 64]" and run.params["optimizer"] == "sgd"


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_what_is_asked_to_end_leaves_no_run_that_runs(lab: Laboratory, asked: int) -> None:
    words = ["--task", "Digits_A", "--set", "epochs=100000", "--tag", f"ended={int(asked)}"]
    process = lab.popen(str(lab.bin / "python"), "src/train.py", *words)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch 1:"):
            process.send_signal(asked)
            break
    process.communicate(timeout=60)
    (run,) = runs(lab, ended=str(int(asked)))
    assert process.returncode == 128 + asked and run.status == "FAILED"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.py", "--task", "Digit_B"], "Did you mean Digits_B"),
        (["train.py", "--task", "Digits_A", "--tag", "task=x"], "the task's name"),
        (["train.py"], "--task"),
        (["inference.py", "--run", "0" * 32], f"Run with id={'0' * 32} not found"),
        (["inference.py", "--run", "Digit_B"], "Did you mean Digits_B"),
    ],
)
def test_what_is_refused_leaves_no_run(lab: Laboratory, words: list[str], said: str) -> None:
    before = len(runs(lab)) if (lab.root / "mlflow.db").exists() else 0
    done = lab.python(f"src/{words[0]}", *words[1:], check=False)
    assert done.code and said in done.err and "Traceback" not in done.err
    assert not before or len(runs(lab)) == before


def test_without_a_network_mnist_says_so(lab: Laboratory) -> None:
    mirror = {"DATASETS_MIRROR": "http://127.0.0.1:9/"}
    done = lab.python("src/train.py", "--task", "Mnist_B", check=False, **mirror)
    assert done.code == 1 and "mnist is not here" in done.err and "Traceback" not in done.err
