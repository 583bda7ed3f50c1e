"""Plain `mlflow ui` on a pulled run, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT, ProjectFolder
from tests.integration import notebooks
from tests.integration.witness import Store
from tests.real import browser, ui

pytestmark = pytest.mark.timeout(600)
SHOTS = ROOT / ".demo" / "screenshots"


def test_the_ui_shows_a_pulled_run_and_opens_its_artifacts(
    shared_project: ProjectFolder, tmp_path: Path
) -> None:
    shared_project.write("src/notebooks/seen.ipynb", notebooks.METRICS)
    shared_project.inv("remote-run", "seen.ipynb", "--epoch", "5", "--follow")
    shared_project.inv("sync-pull")
    run = Store(shared_project.root / "mlflow.db").runs()[-1]
    notebook = next(name for name in os.listdir(run.artifacts) if name.endswith(".ipynb"))
    seen = {
        "": ("seen",),
        f"/{run.id}": (run.tags["remote.job"], "epoch"),
        f"/{run.id}/artifacts": (notebook, "note.txt"),
        f"/{run.id}/artifacts/note.txt": ("hello",),
    }
    with (
        ui.served(shared_project.root) as address,
        browser.running(tmp_path / "profile") as chromium,
    ):
        base = f"{address}/#/experiments/{run.artifacts.parts[-3]}/runs"
        for number, (path, words) in enumerate(seen.items()):
            with chromium.page(base + path) as page:
                page.shows(*words)
                shot = SHOTS / f"pulled-{number}.png"
                page.shot(shot)
                assert shot.stat().st_size > 20_000
