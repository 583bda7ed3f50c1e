"""docs/pipeline.md on a target, typed and looked at, with images in CIFAR-10's own format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd
from tests.conftest import ROOT
from tests.integration.witness import Run
from tests.real import browser, ui
from tests.research.conftest import Laboratory, Make
from tests.research.researcher import begin
from tests.research.test_datasets import batches
from tests.research.test_pipeline import STEPS, tree
from tests.research.warm_python import OF_MLFLOW

pytestmark = pytest.mark.timeout(900)

SHOTS = ROOT / ".demo" / "screenshots"


@pytest.fixture(scope="module")
def pulled(laboratory: Make, sshd: PrivateSshd) -> Iterator[tuple[Laboratory, list[Run]]]:
    """A job with an archive like CIFAR-10's in the raw data, and what a pull has brought."""
    lab = laboratory("a pipeline there")
    archive = lab.root / "data/raw/cifar10/cifar-10-python.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(batches(12)[0])
    own = "--preprocess-data cifar10 --train-epochs 2"
    further = {"inv remote-run": f'{own} --building-model-filename "it\'s a モデル.onnx"'}
    # test_pipeline.py types what is for this machine.
    typed_there = ("make -C", "mlflow ui")
    [step] = begin(lab, sshd).read("pipeline.md", but=typed_there, further=further)
    with lab.warm(OF_MLFLOW):
        yield lab, step.runs


def test_as_a_remote_job_its_runs_come_with_a_pull(pulled: tuple[Laboratory, list[Run]]) -> None:
    lab, runs = pulled
    main, steps = tree(runs)
    assert list(steps) == STEPS and {run.status for run in runs} == {"FINISHED"}
    assert {run.tags["data"] for run in runs} == {"cifar10"}
    assert len({run.tags.get("remote.job") for run in runs}) == 1 and "remote.job" in main.tags
    assert steps["preprocess"].history("train_images") == [(0, 60.0)]
    assert [step for step, _ in steps["train"].history("valid_accuracy")] == [1, 2]
    assert steps["evaluate"].history("images") == [(0, 12.0)]
    assert main.params["building_model_filename"] == "it's a モデル.onnx"
    for folder in ("train", "building"):
        kind = "model" if folder == "train" else "server"
        assert (steps[folder].artifacts / kind / "it's a モデル.onnx").is_file()
        assert lab.root in steps[folder].artifacts.parents
    script = (
        "import sys, mlflow\n"
        "runs = mlflow.search_runs(search_all_experiments=True, output_format='list',"
        " filter_string=f\"tags.`mlflow.parentRunId` = '{sys.argv[1]}'\")\n"
        "print(*sorted(run.info.run_name for run in runs))\n"
    )
    assert lab.python("-c", script, main.id).out.split() == sorted(STEPS)


def test_the_ui_shows_them(pulled: tuple[Laboratory, list[Run]], tmp_path: Path) -> None:
    lab, runs = pulled
    main, steps = tree(runs)
    with ui.served(lab.root, lab.bin) as address, browser.running(tmp_path / "profile") as chromium:
        place = f"{address}/#/experiments/{main.artifacts.parts[-3]}/runs"
        with chromium.page(f"{place}/{steps['evaluate'].id}") as page:
            page.shows("evaluate", "Parent run", "latency_p99_ms", "accuracy")
            page.shot(SHOTS / "pipeline.png")
        with chromium.page(f"{place}/{main.id}") as page:
            for step in STEPS:
                page.wait(
                    f"[...document.querySelectorAll('a')].some(e => e.innerText === '{step}')"
                )
        with chromium.page(f"{place}/{steps['building'].id}/artifacts") as page:
            page.shows("server")
