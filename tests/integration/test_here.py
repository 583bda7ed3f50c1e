"""`make run` and its neighbours: the project on this machine."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.conftest import Command, ProjectFolder, make_project
from tests.integration import notebooks
from tests.integration.witness import Store
from tests.stores import empty_store
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    made = make_project(tmp_path_factory.mktemp("here") / "project")
    made.write("src/notebooks/echo.ipynb", notebooks.ECHO)
    made.write("src/notebooks/metrics.ipynb", notebooks.METRICS)
    made.write("src/notebooks/fails.ipynb", notebooks.FAILS)
    (made.root / "logs").mkdir()
    empty_store(made.root)
    return made


def results(project: ProjectFolder, pattern: str) -> list[Path]:
    return sorted((project.root / "data/results/notebooks").glob(pattern))


def test_make_run_takes_parameters_as_make_variables(project: ProjectFolder) -> None:
    message = 'it\'s $(touch pwned) `x` "q" \\ 日本 # $HOME  two blanks'
    project.make(
        "run",
        "input_file=echo.ipynb",
        "output_file=exp/結果.ipynb",
        "epoch=100",
        "shuffle=true",
        f"message={message}",
    )
    seen = json.loads((project.root / "logs/echo.json").read_text())
    assert seen == [100, message, 0.5, True, [1, 2]]
    (result,) = results(project, "exp/*_結果.ipynb")
    assert stat.S_IMODE(result.stat().st_mode) == 0o444
    assert not list(project.root.rglob("pwned"))


def test_runs_here_are_recorded_like_runs_there(project: ProjectFolder) -> None:
    project.inv("run", "metrics.ipynb", "--epoch", "3")
    (run,) = [
        run
        for run in Store(project.root / "mlflow.db").runs()
        if "epoch" in run.params and run.params["epoch"] == "3"
    ]
    assert run.status == "FINISHED"
    assert len(run.history("loss")) == 3
    count = len(Store(project.root / "mlflow.db").runs())
    project.write("src/hello.py", 'print("hello")\n')
    assert "hello" in project.inv("run", "--no-record", "src/hello.py").text
    assert len(Store(project.root / "mlflow.db").runs()) == count
    assert str(run.artifacts).startswith(str(project.root / "mlruns"))


def test_a_failing_notebook_fails_the_command(project: ProjectFolder) -> None:
    done = project.inv("run", "fails.ipynb", check=False)
    assert done.code == 1 and "the data is bad" in done.text
    assert results(project, "*_fails.failed.ipynb")


def test_ctrl_c_ends_it_and_keeps_what_was_done(project: ProjectFolder) -> None:
    project.write("src/notebooks/sleeps.ipynb", notebooks.SLEEPS)
    running = project.start("run", "sleeps.ipynb")
    logs = project.root / ".remote/jobs"
    until(lambda: any("started" in log.read_text() for log in logs.glob("*sleeps*/log")))
    for pid in (running.pid, *children(running.pid)):
        os.kill(pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "KeyboardInterrupt" in out and "ipykernel" not in out + err
    assert results(project, "*_sleeps.stopped.ipynb")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_names_that_make_run_does_not_know_are_refused(project: ProjectFolder) -> None:
    done = project.run_make("run", "input_file=echo.ipynb", "epochs=3")
    assert done.code != 0 and "Did you mean epoch?" in done.text
    done = project.run_make("run")
    assert done.code != 0 and "input_file=" in done.text


def test_format_formats(project: ProjectFolder) -> None:
    ugly = project.write("src/lib/ugly.py", "import sys\nimport os\nx = {  'a':1 }\n")
    project.inv("format")
    assert ugly.read_text() == 'import os\nimport sys\n\nx = {"a": 1}\n'


def test_make_help_lists_every_target(project: ProjectFolder) -> None:
    text = project.make("help").out
    for name in ("sync-push", "sync-pull", "run", "format", "ui", "demo", "test", "bench"):
        assert f"make {name}" in text


def test_inv_list_does_not_import_what_is_slow(project: ProjectFolder) -> None:
    done = project.inv("--list", PYTHONPROFILEIMPORTTIME="1")
    for name in ("mlflow", "papermill", "paramiko", "fabric", "dotenv"):
        assert f" {name}\n" not in done.err, name


@pytest.mark.parametrize("words", [("--list",), ("remote-ps", "--target", "gpu:/"), ("no-such",)])
def test_inv_says_the_same_where_its_imports_are_made_before(
    project: ProjectFolder, words: tuple[str, ...]
) -> None:
    """As most of these tests have it."""
    anew = project.start(*words)
    out, err = anew.communicate()
    assert project.inv(*words, check=False) == Command(anew.returncode, out, err)
