"""docs/experiments.md, typed and looked at: Hydra, Optuna, Lightning and MLflow, here and there."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd
from tests.integration.witness import Run, Store
from tests.real import browser, ui
from tests.research.conftest import Laboratory, Make
from tests.research.researcher import PARENT, Researcher, Step, begin, typed
from tests.research.warm_python import OF_EXPERIMENTS

#: The first of these tests also makes the environment, and types the document.
pytestmark = pytest.mark.timeout(1500)

TRAIN = "src/model/model01/train.py"
RATES = "learning_rate=interval(0.001,0.002)"
CURVES = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
#: The document's last part.
DATA = "## Data and features"

#: What MlflowClient and the model itself say of runs: their accuracy, by the model alone.
LOADED = """
import sys, mlflow, torch
from mlflow import MlflowClient
from dataset import parts
for id in sys.argv[1:]:
    run = MlflowClient().get_run(id)
    test = parts.load(parts.Path(run.data.params["features"])).test
    model = mlflow.pytorch.load_model(f"runs:/{id}/model")
    right = model(torch.from_numpy(test.x)).argmax(1).numpy() == test.y
    print(float(right.mean()) - run.data.metrics["test_accuracy"])
"""

#: A sweep that ends while a trial of another process has just been killed.
KILLED = """
import os, sys, mlflow
from model import runs
sys.argv = ["train.py", "--multirun"]
with runs.sweep("killed"):
    below = {"mlflow.parentRunId": os.environ[runs.SWEEP]}
    experiment = mlflow.get_experiment_by_name("killed").experiment_id
    mlflow.MlflowClient().create_run(experiment, tags=below)
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def lab(laboratory: Make) -> Iterator[Laboratory]:
    with laboratory("hydra").warm(OF_EXPERIMENTS) as warm:
        yield warm


@pytest.fixture(scope="module")
def reader(lab: Laboratory, sshd: PrivateSshd) -> Researcher:
    return begin(lab, sshd)


@pytest.fixture(scope="module")
def steps(reader: Researcher) -> list[Step]:
    """The commands of the document, typed; the pages of `mlflow ui` are looked at below."""
    return reader.read("experiments.md", until=DATA, but=("mlflow ui",))


def new_runs(lab: Laboratory, before: set[str]) -> tuple[Run, list[Run]]:
    """The run of the one sweep that was made since, and those of its trials."""
    runs = Store(lab.root / "mlflow.db").runs()
    return parted([run for run in runs if run.id not in before])


def parted(runs: list[Run]) -> tuple[Run, list[Run]]:
    """The run of the one sweep, and those of its trials."""
    [sweep] = [run for run in runs if PARENT not in run.tags]
    trials = [run for run in runs if run.tags.get(PARENT) == sweep.id]
    assert len(trials) == len(runs) - 1
    return sweep, trials


def known(lab: Laboratory) -> set[str]:
    store = Store(lab.root / "mlflow.db")
    return {run.id for run in store.runs()} if store.path.exists() else set()


def assert_whole(run: Run, epochs: int = 2) -> None:
    """Parameters, curves, configuration, log and model of a trial."""
    assert (run.status, run.experiment) == ("FINISHED", "model01")
    assert 0.001 <= float(run.params["learning_rate"]) <= 0.002
    assert run.params["epochs"] == str(epochs)
    for name in CURVES:
        assert [step for step, _ in run.history(name)] == list(range(1, epochs + 1)), name
    best = max(value for _, value in run.history("valid_accuracy"))
    assert run.history("best_valid_accuracy") == [(0, best)]
    names = {path.relative_to(run.artifacts).as_posix() for path in run.artifacts.rglob("*")}
    hydra = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert names >= {"features.json", "train.log", *hydra}
    assert f"epoch {epochs}: " in (run.artifacts / "train.log").read_text()
    assert run.params["learning_rate"] in (run.artifacts / ".hydra/config.yaml").read_text()


def assert_load(lab: Laboratory, *runs: Run) -> None:
    differences = lab.python("-c", LOADED, *(run.id for run in runs)).out.split()
    assert len(differences) == len(runs) and max(abs(float(each)) for each in differences) < 1e-6


def test_a_sweep_by_hand(lab: Laboratory, steps: list[Step]) -> None:
    """Data set and features are made on the way; nothing but the records stays in mlruns."""
    step = typed(steps, f"python {TRAIN} -m")
    sweep, trials = parted(step.runs)
    assert (sweep.status, sweep.experiment, len(trials)) == ("FINISHED", "model01", 2)
    assert RATES in sweep.tags["overrides"]
    for trial in trials:
        assert_whole(trial)
        assert list(lab.root.glob(f"logs/lightning/model01/{trial.id}/events*"))
        assert list(lab.root.glob(f"logs/lightning/model01/{trial.id}/checkpoints/*.ckpt"))
    assert len({trial.params["learning_rate"] for trial in trials}) == 2
    assert {trial.tags["mlflow.runName"] for trial in trials} == {"train-0", "train-1"}
    assert "GPU available" not in step.said and "Tip" not in step.said
    assert not list(lab.root.glob("mlruns/**/meta.yaml"))
    made = json.loads((trials[0].artifacts / "features.json").read_text())
    assert made["from"]["which"] == "digits"


def test_a_sweep_on_a_server_and_its_best_model_here(
    lab: Laboratory, steps: list[Step], tmp_path: Path
) -> None:
    sweep, trials = parted(typed(steps, "--name rates").runs)
    assert (sweep.status, sweep.experiment, len(trials)) == ("FINISHED", "model01", 2)
    for trial in trials:
        assert_whole(trial)
        assert trial.tags["remote.job"] == sweep.tags["remote.job"]
        assert trial.history("objective")[0][1] == trial.history("best_valid_accuracy")[0][1]
        assert trial.artifacts.is_relative_to(lab.root)
        assert list(lab.root.glob(f"logs/lightning/model01/{trial.id}/events*"))
    _, of_here = parted(typed(steps, f"python {TRAIN} -m").runs)
    assert_load(lab, trials[1], of_here[0])
    best = max(trials, key=lambda trial: trial.history("best_valid_accuracy"))
    look = typed(steps, "input_file=load_model.ipynb")
    assert look.line.endswith(f"run_id={sweep.id}")
    [looked] = look.runs
    assert_looked_at(looked, best, worst=16)
    with ui.served(lab.root, lab.bin) as address, browser.running(tmp_path / "profile") as chromium:
        see(chromium, address, best, looked)


def assert_looked_at(looked: Run, best: Run, worst: int) -> None:
    assert (looked.status, looked.tags["loaded_run"]) == ("FINISHED", best.id)
    said = [run.history("test_accuracy")[0][1] for run in (looked, best)]
    assert said[0] == pytest.approx(said[1], abs=1e-6)
    assert (looked.artifacts / "confusion.png").stat().st_size > 5000
    cases = (looked.artifacts / "worst.csv").read_text().splitlines()
    assert cases[0] == "image,is,taken for,chance of the truth" and len(cases) == 1 + worst


def see(chromium: browser.Browser, address: str, best: Run, looked: Run) -> None:
    """The trial below its sweep, its curves, its files; and the figure."""
    experiments = f"{address}/#/experiments"
    of_best, of_looked = (run.artifacts.parts[-3] for run in (best, looked))
    with chromium.page(f"{experiments}/{of_best}/runs/{best.id}") as page:
        page.shows("learning_rate", best.params["learning_rate"], "best_valid_accuracy")
    with chromium.page(f"{experiments}/{of_best}/runs/{best.id}/model-metrics") as page:
        page.shows("train_loss", "valid_accuracy")
    with chromium.page(f"{experiments}/{of_best}/runs/{best.id}/artifacts/train.log") as page:
        page.shows(".hydra", "epoch 2: ")
    with chromium.page(f"{experiments}/{of_looked}/runs/{looked.id}/artifacts") as page:
        page.shows("confusion.png", "worst.csv")


def newest(lab: Laboratory) -> Run:
    return max(Store(lab.root / "mlflow.db").runs(), key=lambda run: run.start_time)


def test_the_notebook_on_the_server_takes_the_best_of_the_experiment(
    lab: Laboratory, steps: list[Step]
) -> None:
    there = ["--extra", "torch", "--gpus", "0", "--follow", "--pull"]
    lab.inv("remote-run", "load_model.ipynb", "--worst", "5", *there)
    _, trials = parted(typed(steps, "--name rates").runs)
    best = max(trials, key=lambda trial: trial.history("best_valid_accuracy"))
    assert_looked_at(newest(lab), best, worst=5)


def test_a_run_that_is_not_there_is_told(lab: Laboratory) -> None:
    """By the cells of the notebook, up to the one that looks for it, without a kernel."""
    notebook = json.loads((lab.root / "src/notebooks/load_model.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join([cells[0], "experiment_name = 'none'", *cells[1:3]])
    done = lab.python("-c", code.replace("%matplotlib inline", ""), check=False)
    assert done.code == 1 and "No finished run of experiment 'none'" in done.err


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """A signal may be lost in a library's own handler: who types Ctrl-C types it again."""
    for _ in range(3):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
            return
    raise AssertionError("the sweep goes on")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_leaves_no_run_running(
    lab: Laboratory, number: signal.Signals
) -> None:
    before = known(lab)
    process = lab.popen(str(lab.bin / "python"), TRAIN, "-m", RATES, "epochs=1000")
    assert process.stdout
    # What stands on the screen is written to the log a moment later.
    said = next((line for line in process.stdout if "epoch 3: " in line), "")
    interrupt(process, number)
    assert said and process.returncode != 0
    sweep, trials = new_runs(lab, before)
    assert [run.status for run in (sweep, *trials)] == ["FAILED", "FAILED"]
    assert "epoch 2: " in (trials[0].artifacts / "train.log").read_text()


def test_a_trial_that_was_killed_with_its_sweep_is_ended(lab: Laboratory) -> None:
    before = known(lab)
    assert lab.python("-c", KILLED, check=False).code == 3
    sweep, [trial] = new_runs(lab, before)
    assert (sweep.status, trial.status) == ("FAILED", "KILLED")


def test_a_stopped_job_leaves_no_run_running(lab: Laboratory) -> None:
    before = known(lab)
    there = ["--extra", "torch", "--gpus", "0"]
    lab.inv("remote-run", TRAIN, *there, "--", "-m", RATES, "epochs=1000")
    log = lab.start("remote-logs", "last", "--follow")
    assert log.stdout and any("epoch 2: " in line for line in log.stdout)
    log.send_signal(signal.SIGINT)
    log.communicate(timeout=60)
    lab.inv("remote-stop", "last")
    lab.inv("sync-pull")
    sweep, trials = new_runs(lab, before)
    assert sweep.status == "KILLED"
    assert [run.status for run in trials] in (["KILLED"], ["FAILED"])


def test_an_error_is_kept_with_its_run(lab: Laboratory) -> None:
    before = known(lab)
    done = lab.python(TRAIN, "width=-1", check=False)
    [run] = [run for run in Store(lab.root / "mlflow.db").runs() if run.id not in before]
    assert done.code == 1 and run.status == "FAILED" and run.params["width"] == "-1"
    assert "RuntimeError" in (run.artifacts / "error.txt").read_text()


def test_data_and_features_are_made_anew(reader: Researcher, steps: list[Step]) -> None:
    said = reader.read("experiments.md", since=DATA)
    [run] = typed(said, f"python {TRAIN}").runs
    made = json.loads((run.artifacts / "features.json").read_text())
    assert made["standardize"] is False and made["from"]["seed"] == 1


def test_the_commands_of_further_documents_work(reader: Researcher) -> None:
    """They need nothing but such a project and its target."""
    reader.read("adopt.md")
    reader.read("containers.md")
    reader.read("checkpoints.md")


def test_features_that_are_not_there_are_told(lab: Laboratory) -> None:
    done = lab.python(TRAIN, "features=data/processed/none", check=False)
    told = "Make them: python src/feature/feature01/make.py output=data/processed/none"
    assert done.code == 1 and told in done.err and "Traceback" not in done.err


def test_without_the_extra_both_commands_are_told(lab: Laboratory) -> None:
    if find_spec("torch"):
        pytest.skip("torch is installed beside the tests")
    process = lab.popen(sys.executable, TRAIN, PYTHONPATH=str(lab.root / "src"))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1 and 'make install extras="torch"' in told
    assert "--extra torch" in told and len(told.splitlines()) == 2
