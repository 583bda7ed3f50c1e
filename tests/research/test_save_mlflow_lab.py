"""save_mlflow where it is used: in Jupyter, by papermill, and in jobs here and there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import quote

import pytest
from jupyter_client.blocking import BlockingKernelClient

from scripts.sshd import PrivateSshd, free_port
from tests.conftest import ROOT
from tests.integration.witness import Run, Store
from tests.real import browser
from tests.real.ui import served
from tests.research.conftest import Laboratory, Make
from tests.research.researcher import Step, begin, typed
from tests.research.warm_python import OF_MLFLOW

pytestmark = pytest.mark.timeout(900)
LIMIT = 120.0  # seconds
NAME = "学習 'a' [1]"


@pytest.fixture(scope="module")
def lab(laboratory: Make) -> Iterator[Laboratory]:
    made = laboratory("save")
    for name, value in (("user.name", "A Tester"), ("user.email", "tester@example.com")):
        git(made, "config", name, value)
    with made.warm(OF_MLFLOW):
        yield made


def git(lab: Laboratory, *words: str) -> str:
    argv = ["git", "-c", "core.quotePath=off", *words]
    done = subprocess.run(argv, cwd=lab.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def newest(lab: Laboratory, experiment: str) -> Run:
    found = [run for run in Store(lab.root / "mlflow.db").runs() if run.experiment == experiment]
    return found[-1]


def notebook(*cells: str) -> str:
    """A notebook file."""
    made = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source.splitlines(keepends=True),
        }
        for number, source in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    return json.dumps({**document, "nbformat_minor": 5}, ensure_ascii=False)


# Jupyter ------------------------------------------------------------------------------------------


class Jupyter:
    """A Jupyter server in a project's root, and what its page would do with it."""

    def __init__(self, lab: Laboratory, runtime: Path) -> None:
        self.runtime, self.token, self.port = runtime, secrets.token_hex(8), free_port()
        where = (f"--ServerApp.port={self.port}", f"--IdentityProvider.token={self.token}")
        self.process = subprocess.Popen(
            [str(lab.bin / "jupyter"), "server", "--allow-root", "--no-browser", *where],
            cwd=lab.root,
            env={**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask(self, path: str, asked: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=None if asked is None else json.dumps(asked).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def wait(self) -> None:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.ask("status")
                return
            time.sleep(0.1)
        pytest.fail("the Jupyter server does not answer")

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[BlockingKernelClient]:
        """The kernel of a notebook, as JupyterLab asks for it."""
        asked = {"path": path, "name": Path(path).name, "type": "notebook"}
        session = self.ask("sessions", {**asked, "kernel": {"name": "python3"}})
        file = self.runtime / f"kernel-{session['kernel']['id']}.json"
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels(hb=False)
        wait_for(client)
        yield client
        client.stop_channels()


@pytest.fixture(scope="module")
def jupyter(lab: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    server = Jupyter(lab, tmp_path_factory.mktemp("runtime"))
    try:
        server.wait()
        yield server
    finally:
        os.killpg(server.process.pid, signal.SIGTERM)
        server.process.wait(30)


def wait_for(client: BlockingKernelClient) -> None:
    """What a kernel says before the client listens is lost."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        client.kernel_info()
        with contextlib.suppress(Empty):
            client.get_iopub_msg(timeout=1)
            return
    pytest.fail("the kernel does not answer")


def said(client: BlockingKernelClient, cell: str) -> str:
    """What a cell prints; fails the test where the cell fails."""
    asked = client.execute(cell)
    printed = ""
    while True:
        try:
            message = client.get_iopub_msg(timeout=LIMIT)
        except Empty:
            pytest.fail(f"no end of {cell}")
        content = message["content"]
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "stream":
            printed += content["text"]
        elif message["msg_type"] == "error":
            pytest.fail("\n".join(content["traceback"]))
        elif content.get("execution_state") == "idle":
            return printed


CELLS = (
    "from lib.tracking import save_mlflow",
    "# A comment\nsave_mlflow(experiment_name='by hand', result={'a.txt': 'hello'})\n",
)


def test_a_notebook_in_jupyter_is_committed_with_its_twin(
    lab: Laboratory, jupyter: Jupyter
) -> None:
    path = lab.write(f"src/notebooks/{NAME}.ipynb", notebook(*CELLS))
    lab.write("staged.txt", "staged")
    git(lab, "add", "staged.txt")
    before = git(lab, "rev-parse", "HEAD")
    with jupyter.opened(f"src/notebooks/{NAME}.ipynb") as kernel:
        printed = [said(kernel, cell.strip()) for cell in CELLS][-1]
        run = newest(lab, "by hand")
        commit = git(lab, "rev-parse", "HEAD")
        assert commit != before and commit[:10] in printed
        assert run.tags["mlflow.source.git.commit"] == run.tags["save_mlflow.commit"] == commit
        assert run.tags["mlflow.source.git.branch"] == "main"
        assert run.tags["mlflow.source.name"] == f"src/notebooks/{NAME}.ipynb"
        names = [f"src/notebooks/{NAME}{suffix}" for suffix in (".ipynb", ".py")]
        assert sorted(git(lab, "show", "--format=", "--name-only").splitlines()) == names
        assert git(lab, "diff", "--cached", "--name-only") == "staged.txt"
        assert (run.artifacts / "result/a.txt").read_text() == "hello"
        assert run.artifacts.is_relative_to(lab.root / "mlruns")

        twin = path.with_suffix(".py").read_text("utf-8")
        assert "\n# %%\n# A comment\nsave_mlflow(" in twin and "jupytext:" in twin

        said(kernel, CELLS[1].strip())
        assert git(lab, "rev-parse", "HEAD") == commit, "nothing had changed"
        assert newest(lab, "by hand").id != run.id

        other = twin.replace("jupytext:", "jupytext:\n#     formats: ipynb,py:percent", 1)
        path.with_suffix(".py").write_text(other, "utf-8")
        said(kernel, CELLS[1].strip())
        assert path.with_suffix(".py").read_text("utf-8") == other, "JupyterLab's own"

        printed = said(kernel, "save_mlflow(experiment_name='unsaved')")
        told = newest(lab, "unsaved").tags
        assert "save the notebook" in printed and "save_mlflow.commit" not in told
        assert told["save_mlflow.not_committed"] in printed

        path.rename(path.with_name("renamed.ipynb"))
        assert "restart the kernel" in said(kernel, "save_mlflow(experiment_name='renamed')")
        assert newest(lab, "renamed").status == "FINISHED"


# papermill ----------------------------------------------------------------------------------------


def test_papermill_tells_its_notebook(lab: Laboratory) -> None:
    lab.write("src/notebooks/by papermill.ipynb", notebook(*CELLS).replace("by hand", "papermill"))
    lab.write("src/notebooks/by papermill.py", "print('a script of its own')\n")
    words = ("src/notebooks/by papermill.ipynb", "out.ipynb", "--inject-paths", "-k", "python3")
    lab.python("-m", "papermill", *words)
    run = newest(lab, "papermill")
    assert run.tags["save_mlflow.commit"] == git(lab, "rev-parse", "HEAD")
    assert git(lab, "show", "--format=", "--name-only") == "src/notebooks/by papermill.ipynb"
    assert "is no twin of it" in (lab.root / "out.ipynb").read_text()


# Jobs ---------------------------------------------------------------------------------------------

FILES = {
    "dataset/train.csv",
    "dataset/test.csv",
    "model/forest.joblib",
    "result/guessed.csv",
    "result/report.txt",
}


@pytest.fixture(scope="module")
def steps(lab: Laboratory, sshd: PrivateSshd) -> list[Step]:
    """The commands of the document, typed; the pages of `mlflow ui` are looked at below."""
    return begin(lab, sshd).read("workbench.md", but=("mlflow ui",))


def assert_whole(run: Run) -> None:
    """All that the sample saves is there."""
    found = {path.relative_to(run.artifacts).as_posix() for path in run.artifacts.rglob("*.*")}
    assert found >= FILES and (run.status, run.experiment) == ("FINISHED", "workbench")
    assert run.params["trees"] == "50" and run.history("accuracy")[0][1] > 0.7
    assert run.tags["mlflow.note.content"] and run.tags["remote.job"]


def test_a_job_on_this_machine_commits_the_notebook(steps: list[Step]) -> None:
    step = typed(steps, "inv run workbench.ipynb")
    (run,) = step.runs
    assert_whole(run)
    shown = typed(steps, "git").said
    assert f"commit {run.tags['save_mlflow.commit']}" in shown
    assert "src/notebooks/workbench.py" in shown
    assert "To see it: inv ui" in step.said


def test_a_job_on_a_target_is_pulled_and_found_in_the_browser(
    lab: Laboratory, steps: list[Step], tmp_path: Path
) -> None:
    step = typed(steps, "inv remote-run workbench.ipynb")
    assert "To see it: make sync-pull" in step.said
    (run,) = step.runs
    assert_whole(run)
    commit = run.tags["mlflow.source.git.commit"]
    assert f"commit {commit}" in typed(steps, "git").said
    assert commit[:10] in run.tags["save_mlflow.not_committed"]
    number = run.artifacts.parts[-3]
    with served(lab.root, lab.bin) as ui, browser.running(tmp_path / "profile") as chromium:
        base = f"{ui}/#/experiments/{number}/runs/{run.id}"
        with chromium.page(base) as page:
            page.shows("50 trees", "random forest", "accuracy", "trees", run.id)
        with chromium.page(f"{base}/artifacts/{quote('result/report.txt')}") as page:
            page.shows("dataset", "model", "result", "precision", "macro avg")
            page.shot(ROOT / ".demo/screenshots/workbench.png")
        with chromium.page(saved_to(lab, ui)) as page:
            page.shows("by hand", "half a run", "a remark")


def saved_to(lab: Laboratory, ui: str) -> str:
    """Where a browser sees what a script saved by way of a server."""
    code = (
        "from lib.tracking import save_mlflow\n"
        f"saved = save_mlflow(experiment_name='served', run_name='half a run', mlf_uri={ui!r},\n"
        "    params={'by hand': 1}, description='a remark', result={'it is 50% 日本.txt': 'hello'})\n"
        "import mlflow\n"
        "mlflow.set_tracking_uri(saved.see.partition('/#')[0])\n"
        "print(mlflow.artifacts.load_text(f'runs:/{saved.run_id}/result/it is 50% 日本.txt'))\n"
        "print(saved.see)\n"
    )
    *_, text, address = lab.python("-c", code).out.splitlines()
    assert text == "hello" and address.startswith(ui)
    return address
