"""The runs that a program leaves as a job are those that it leaves when it is typed, and the job's."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remote.agent.replication import delta_request
from remote.agent.tracking import job_run, run_rows
from remote.agent.worker import Record
from remote.agent.worker.variables import of_job
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FAILED, FINISHED, JobStatus
from remote.rpc import bundle
from tests.integration.plain_programs import MODULES, PROGRAMS
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(600)

OWN = "project"

#: A Python that has MLflow already, and becomes one program after the other: importing MLflow takes
#: longer than each of them.
WARM = """
import json, os, runpy, sys
import mlflow, mlflow.sklearn, mlflow.projects, sklearn.linear_model
os.environ.pop("REMOTE_JOB_TAGS", None)
for line in sys.stdin:
    path, env = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.clear()
        os.environ.update(env)
        if "REMOTE_JOB_RUN" in env:
            os.environ["REMOTE_JOB_OFFER"] = f"{os.getpid()} {env['REMOTE_JOB_RUN']}"
        os.chdir(os.path.dirname(path))
        sys.path.insert(0, os.path.dirname(path))
        sys.argv[:] = [path]
        with open("said", "w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        runpy.run_path(path, run_name="__main__")
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

#: What starts processes of its own is one itself, each as another kind of job.
COLD: dict[str, dict[str, Any]] = {
    "steps": {"kind": "script", "source": "main.py"},
    "loop": {"arguments": ("sh", "-c", "python main.py && true")},
    "joblib_fits": {"arguments": ("python", "main.py")},
    "spawn": {"kind": "module", "source": "main"},
}

#: Of these, no run is begun by the program itself in the job's store.
UNTAKEN = (
    "fork",
    "import_moves",
    "uri_by_argument",
    "client",
    "lightning_logger",
    "loop",
    "joblib_fits",
)


@dataclass
class Place:
    """A folder with a program's modules and a store, and what the program did in it."""

    root: Path
    code: int = 0

    @property
    def said(self) -> str:
        return (self.root / "said").read_text()

    def runs(self, name: str = "mlflow.db") -> dict[str, Any]:
        """What is recorded of each run, by its id."""
        query = """SELECT r.run_uuid, e.name, r.name, r.status,
          (SELECT json_group_array(key || '=' || value) FROM (SELECT * FROM params p
            WHERE p.run_uuid = r.run_uuid ORDER BY key)),
          (SELECT json_group_array(key || step || '=' || value) FROM (SELECT * FROM metrics m
            WHERE m.run_uuid = r.run_uuid ORDER BY key, step, value)),
          (SELECT p.name FROM tags t JOIN runs p ON p.run_uuid = t.value
            WHERE t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId')
          FROM runs r JOIN experiments e USING (experiment_id)"""
        if not (self.root / name).exists():
            return {}
        with closing(sqlite3.connect(self.root / name)) as database:
            return {row[0]: row[1:] for row in database.execute(query)}


class Typed:
    """Programs as they are typed in their own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "REMOTE_", "PYTHON"))
        }
        self.variables["PATH"] = f"{Path(sys.executable).parent}:{self.variables['PATH']}"

    def place(self, name: str) -> Place:
        """A folder of its own for a program, whose main file is `main.py`."""
        root = self.folder / name
        empty_store(root)
        for file, text in {**MODULES, "main.py": PROGRAMS.get(name, "")}.items():
            (root / file).write_text(text)
        return Place(root)

    def run(self, name: str, warm: Warm) -> Place:
        place = self.place(name)
        place.code = warm.run(place.root / "main.py", self.variables)
        return place


class Warm:
    """A Python that has imported MLflow, with or without the agent on its path."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: Path, variables: dict[str, str]) -> int:
        assert self.process.stdin and self.process.stdout
        print(json.dumps([str(program), variables]), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


class Submitted(Typed):
    """The same programs as jobs, with the variables that the worker gives them."""

    def __init__(self, folder: Path, agent: Path) -> None:
        super().__init__(folder)
        self.agent = agent

    def job(self, root: Path, **asked: Any) -> JobPaths:
        paths = JobPaths(root, "20260101-090000-job-aaaa")
        paths.folder.mkdir(parents=True)
        facts = {"kind": "command", "source": "", "gpus": 0, **asked}
        job = Job(
            id=paths.id,
            name="job",
            user="ada",
            experiment=OWN,
            interpreter=sys.executable,
            mlflow_run="f" * 32,
            **facts,
        )
        job.to_file(paths.job)
        return paths

    def run(self, name: str, warm: Warm) -> Place:
        place = self.place(name)
        paths = self.job(place.root, arguments=("python", "main.py"))
        record = Record(paths)
        record.begin_run()
        variables = of_job(record, place.root, Path(sys.executable))
        own = {
            key: variables[key] for key in variables if key.startswith(("MLFLOW", "_MLF", "REMOTE"))
        }
        place.code = warm.run(place.root / "main.py", {**self.variables, **own})
        state = FAILED if place.code else FINISHED
        job_run.end_runs(paths, record.job, JobStatus(state))
        return place

    def work(self, place: Place, **asked: Any) -> Place:
        """The same by a worker, from its first word to its last."""
        paths = self.job(place.root, **asked)
        paths.live.parent.mkdir(exist_ok=True)
        paths.live.touch()
        argv = [sys.executable, "-IS", str(self.agent), "work-here", str(place.root), paths.id]
        with open(place.root / "said", "w") as said:
            place.code = subprocess.run(
                argv, env=self.variables, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            ).returncode
        return place


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    folder = tmp_path_factory.mktemp("it's a job é")
    agent = folder / "agent.zip"
    agent.write_bytes(bundle.packed(bundle.contents()))
    return Submitted(folder, agent)


@pytest.fixture(scope="module")
def pairs(
    submitted: Submitted, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Place, Place]]:
    """All programs, typed and as jobs, two at a time."""
    typed = Typed(tmp_path_factory.mktemp("typed"))
    inside = {"PYTHONPATH": str(submitted.agent), "REMOTE_JOB_TAGS": "{}"}
    pools = []
    for side, more in ((typed, {}), (submitted, inside)):
        warm = Warm({**side.variables, **more})
        pools.append((side, warm))

    def run_all(side: Typed, warm: Warm) -> list[Place]:
        return [side.run(name, warm) if name not in COLD else cold(side, name) for name in PROGRAMS]

    def cold(side: Typed, name: str) -> Place:
        place = side.place(name)
        if isinstance(side, Submitted):
            return side.work(place, **COLD[name])
        with open(place.root / "said", "w") as said:
            place.code = subprocess.run(
                [sys.executable, "main.py"],
                cwd=place.root,
                env=side.variables,
                stdout=said,
                stderr=said,
            ).returncode
        return place

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda pair: run_all(*pair), pools))
    for _, warm in pools:
        warm.process.communicate()
    return dict(zip(PROGRAMS, zip(*both)))


def differences(plain: Place, job: Place, store: str = "mlflow.db") -> list[str]:
    """What is not equal, but for the job's own run."""
    typed = {row[1]: row for row in plain.runs(store).values()}
    rows = job.runs(store)
    own = rows.get("f" * 32)
    lines = []
    for run, (experiment, name, *rest, parent) in rows.items():
        expected = typed.pop(name, None)
        if expected is None:
            lines += [] if run == "f" * 32 else [f"{name} too many"]
            continue
        below = own and run != "f" * 32 and expected[-1] is None
        same_parent = parent == (own[1] if own and below else expected[-1])
        place = "Default" if experiment == OWN else experiment
        if [place, name, *rest] != list(expected[:-1]) or not same_parent:
            lines.append(f"{[place, name, *rest, parent]} != {expected}")
    return lines + [f"{name} is missing" for name in typed]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_leaves_the_runs_that_it_leaves_plainly(
    pairs: dict[str, tuple[Place, Place]], name: str
) -> None:
    plain, job = pairs[name]
    assert (plain.code != 0) == (name == "failing"), plain.said
    assert job.code == plain.code, job.said
    for store in ("mlflow.db", "own.db", "typed.db"):
        assert differences(plain, job, store) == [], job.said
    taken = job.runs()["f" * 32][1] != "job"
    assert taken == (name not in UNTAKEN)


def test_a_console_script_and_what_it_imports_choose_the_experiment(submitted: Submitted) -> None:
    place = submitted.place("console script")
    script = place.root / "tool"
    script.write_text("#!/usr/bin/env python\nimport sys\nimport tool\nsys.exit(tool.main())\n")
    script.chmod(0o755)
    assert submitted.work(place, arguments=("./tool",)).code == 0, place.said
    [(experiment, name, status, *_)] = place.runs().values()
    assert (experiment, name, status) == ("chosen", "tool", "FINISHED")


def test_a_loop_of_the_shell_leaves_a_run_for_each_round(submitted: Submitted) -> None:
    place = submitted.place("shell")
    loop = "for rate in 0.1 0.01; do python fit.py $rate || exit 1; done"
    assert submitted.work(place, arguments=("sh", "-c", loop)).code == 0, place.said
    rows = place.runs()
    own = rows.pop("f" * 32)
    assert own[:2] == (OWN, "job") and len(rows) == 2
    assert sorted(row[1:3] for row in rows.values()) == [
        ("fit 0.01", "FINISHED"),
        ("fit 0.1", "FINISHED"),
    ]
    assert {row[-1] for row in rows.values()} == {"job"}


def test_a_notebooks_kernel_takes_the_run_once_and_logs_what_it_likes(submitted: Submitted) -> None:
    place = submitted.place("notebook")
    cells = [
        "epochs = 3",
        "import choosing, mlflow, subprocess, sys",
        'with mlflow.start_run(run_name="mine"):\n    mlflow.log_param("epochs", epochs * 2)',
        'subprocess.run([sys.executable, "fit.py", "0.1"], check=True)',
        'with mlflow.start_run(run_name="second"):\n    pass',
    ]
    made = [
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [] if number else ["parameters"]},
            "outputs": [],
            "source": text,
        }
        for number, text in enumerate(cells)
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made}
    (place.root / "n.ipynb").write_text(json.dumps(notebook))
    asked = {"source": "n.ipynb", "output": "n", "defaults": {"epochs": 3, "rate": 1}}
    assert submitted.work(place, kind="notebook", **asked).code == 0, place.said
    rows = place.runs()
    own = rows.pop("f" * 32)
    assert own[:4] == ("chosen", "mine", "FINISHED", '["epochs=6","rate=1"]')
    assert sorted(row[:2] for row in rows.values()) == [("chosen", "fit 0.1"), ("chosen", "second")]
    assert {row[-1] for row in rows.values()} == {"mine"}


def test_an_mlproject_is_the_jobs_run(submitted: Submitted) -> None:
    place = submitted.place("mlproject")
    asked = {"source": ".", "entry_point": "step", "parameters": {"rate": "0.5"}}
    assert submitted.work(place, kind="mlproject", **asked).code == 0, place.said
    [row] = place.runs().values()
    assert row == (OWN, "fit 0.5", "FINISHED", '["rate=0.5"]', '["loss0=0.5"]', None)


CRASH = """
import mlflow, os, signal
client = mlflow.MlflowClient()
client.create_run("0", run_name="by client")
own = mlflow.get_tracking_uri()
mlflow.set_tracking_uri("sqlite:///../elsewhere.db")
mlflow.MlflowClient().create_run("0", run_name="elsewhere")
mlflow.set_tracking_uri("sqlite:///data/results/inside.db")
mlflow.MlflowClient().create_run("0", run_name="inside")
mlflow.set_tracking_uri(own)
mlflow.start_run(run_id="a" * 32)
mlflow.start_run(run_name="mine", nested=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_run_of_a_job_that_has_ended_is_running_and_stores_elsewhere_are_named(
    submitted: Submitted,
) -> None:
    place = submitted.place("crash")
    (place.root / "data/results").mkdir(parents=True)
    (place.root / "main.py").write_text(CRASH)
    empty_store(place.root / "data/results").rename(place.root / "data/results/inside.db")
    empty_store(place.root / "elsewhere").rename(place.root.parent / "elsewhere.db")
    run_rows.begin(
        place.root / "mlflow.db",
        experiment="before",
        run_id="a" * 32,
        tags={"mlflow.runName": "old", "mlflow.user": "ada"},
        start_ms=1,
    )
    run_rows.close(place.root / "mlflow.db", "a" * 32, status="FINISHED", end_ms=2)
    submitted.work(place, kind="script", source="main.py")
    assert {row[1]: row[2] for row in place.runs().values()} == {
        "job": "FAILED",
        "by client": "FAILED",
        "old": "FAILED",
        "mine": "FAILED",
    }
    for store in ("../elsewhere.db", "data/results/inside.db"):
        [row] = place.runs(store).values()
        assert row[2] == "FAILED"
    outside = (place.root / "../elsewhere.db").resolve()
    assert f"runs were logged to {outside}, which no pull brings" in place.said
    assert "inside.db" not in place.said
    answer = delta_request._places(place.root)
    assert answer == (["data/results/inside.db"], (str(outside),))
