"""Plain `mlflow ui` on pulled runs, in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

from scripts.sshd import free_port
from tests.conftest import INV, ROOT, ProjectFolder
from tests.integration import notebooks
from tests.integration.witness import Store

pytestmark = pytest.mark.timeout(600)
SHOTS = ROOT / ".demo" / "screenshots"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1400,900",
    "--virtual-time-budget=20000",
)


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    pytest.skip("no Chromium is installed: sudo apt-get install chromium")


@pytest.fixture
def ui(shared_project: ProjectFolder) -> Iterator[str]:
    """The address of a plain `mlflow ui`, started in the project's root."""
    port = free_port()
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [str(INV.with_name("mlflow")), "ui", "--port", str(port)],
        cwd=shared_project.root,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address + "/health")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"{address} does not answer")


def page(browser: str, address: str, profile: Path, *options: str) -> str:
    """The page's document after its scripts ran; tried again, for they fetch what they show."""
    argv = [browser, *FLAGS, f"--user-data-dir={profile}", *options, address]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120).stdout


def shows(browser: str, address: str, profile: Path, *words: str) -> str:
    for attempt in range(4):
        text = page(browser, address, profile / str(attempt), "--dump-dom")
        if all(word in text for word in words):
            return text
    raise AssertionError(f"{address} does not show {words}")


def test_the_ui_shows_a_pulled_run_and_opens_its_artifacts(
    shared_project: ProjectFolder, browser: str, ui: str, tmp_path: Path
) -> None:
    shared_project.write("src/notebooks/seen.ipynb", notebooks.METRICS)
    shared_project.inv("remote-run", "seen.ipynb", "--epoch", "5", "--follow")
    shared_project.inv("sync-pull")
    run = Store(shared_project.root / "mlflow.db").runs()[-1]
    job = run.tags["remote.job"]
    experiment = run.artifacts.parts[-3]
    base = f"{ui}/#/experiments/{experiment}/runs"
    shows(browser, base, tmp_path, "seen")
    notebook = next(name for name in os.listdir(run.artifacts) if name.endswith(".ipynb"))
    shows(browser, f"{base}/{run.id}", tmp_path / "run", job, "epoch")
    shows(browser, f"{base}/{run.id}/artifacts", tmp_path / "list", notebook, "note.txt")
    shows(browser, f"{base}/{run.id}/artifacts/note.txt", tmp_path / "file", "hello")
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, address in (("runs", base), ("artifact", f"{base}/{run.id}/artifacts/note.txt")):
        shot = SHOTS / f"{name}.png"
        shot.unlink(missing_ok=True)
        page(browser, address, tmp_path / name, f"--screenshot={shot}")
        assert shot.stat().st_size > 20_000
