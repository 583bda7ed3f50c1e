"""The runs that a program leaves as a job are those that it leaves when it is typed, and the job's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from remote.agent.replication import delta_request
from remote.agent.tracking import job_run, run_rows
from remote.agent.worker import Record, variables
from remote.agent.worker.variables import of_job
from remote.agent_main import unpacked
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FAILED, FINISHED, JobStatus
from remote.rpc import bundle
from tests.copied_python import LIVING
from tests.integration import plain_packages as others
from tests.integration import plain_programs as programs
from tests.integration.plain_packages import IMPORTS as OF_PACKAGES
from tests.integration.plain_packages import PACKAGES
from tests.integration.plain_programs import MODULES, PROGRAMS
from tests.integration.plain_runs import OWN, Place, differences
from tests.kept import made_once
from tests.kept import packages as installed
from tests.research import environment
from tests.stores import empty_store

#: Whoever comes first makes the environment with all packages, too.
pytestmark = pytest.mark.timeout(1500)

#: A Python that has imported all that programs need, and becomes them: importing takes longer than most
#: of them. What a program starts is started anew.
WARM = LIVING + """
import gc, importlib, json, runpy
answers = os.fdopen(os.dup(1), "w")
# Packages say something when they are imported.
os.dup2(2, 1)
for name in sys.argv[1:]:
    importlib.import_module(name)
from mlflow.tracking.context.registry import _run_context_provider_registry as contexts
from mlflow.tracking.default_experiment.registry import (
    _default_experiment_provider_registry as experiments,
)

def become(path, env):
    os.environ.clear()
    os.environ.update(env)
    os.chdir(os.path.dirname(path))
    sys.path.insert(0, os.path.dirname(path))
    sys.argv[:] = [path]
    with open("said", "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if "REMOTE_JOB_RUN" in env:
        os.environ["REMOTE_JOB_OFFER"] = f"{os.getpid()} {env['REMOTE_JOB_RUN']}"
        # As sitecustomize and MLflow do at the start of a Python.
        sys.path += env["REMOTE_IMPORT_PATH"].split(os.pathsep)
        contexts.register_entrypoints()
        experiments.register_entrypoints()
    runpy.run_path(path, run_name="__main__")

# A collection would have each program copy all that was imported.
gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if not child:
        live(become, *json.loads(line))
    print(exit_code_of(child), file=answers, flush=True)
"""

IMPORTS = (
    "mlflow.projects",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.linear_model",
    "sklearn.model_selection",
    # MLflow does when the first run begins.
    "git",
    "IPython",
)

#: Jobs that a worker takes from their first word to their last, each of another kind.
COLD: dict[str, dict[str, Any]] = {
    "steps": {"kind": "mlproject", "source": ".", "entry_point": "main"},
    "loop": {"arguments": ("sh", "-c", "python fit.py 0.1 || exit 1; python main.py")},
    "hydra_joblib": {"kind": "script", "source": "main.py", "hydra": True},
}

#: Of these, no run is begun by the program itself in the job's store.
UNTAKEN = (
    "fork",
    "import_moves",
    "uri_by_argument",
    "client",
    "lightning",
    "torchrun",
    "hydra_joblib",
    "loop",
    "joblib_fits",
)

ALL = (*PROGRAMS, *PACKAGES)


class Typed:
    """Programs as they are typed in their own folder, with the Python of `bin`."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder, self.python = folder, bin / "python"
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "REMOTE_", "PYTHON"))
        }
        self.variables["PATH"] = f"{bin}:{self.variables['PATH']}"
        # Of Kedro's telemetry, and threads that wait for each other.
        self.variables.update(DO_NOT_TRACK="1", OMP_NUM_THREADS="1")

    def place(self, name: str) -> Place:
        """A folder of its own for a program, whose main file is `main.py`."""
        root = self.folder / name
        store = empty_store(root)
        # Some change to these, which MLflow would take seconds to make.
        for other in ("own.db", "typed.db"):
            shutil.copy(store, root / other)
        own = PACKAGES.get(name) or {"main.py": PROGRAMS.get(name, "")}
        for file, text in {**MODULES, **own}.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        return Place(root)

    def type(self, place: Place, *argv: str) -> Place:
        """Run a command in a program's folder."""
        with open(place.root / "said", "w") as said:
            place.code = subprocess.run(
                argv,
                cwd=place.root,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            ).returncode
        return place


class Warm:
    """The Python that becomes programs."""

    def __init__(self, python: Path, imports: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [str(python), "-c", WARM, *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, place: Place, variables: Mapping[str, str]) -> Place:
        """Run the main program of a folder, with these variables."""
        assert self.process.stdin and self.process.stdout
        asked = [str(place.root / "main.py"), variables]
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        place.code = int(self.process.stdout.readline())
        return place


class Submitted(Typed):
    """The same programs as jobs, with the variables that the worker gives them."""

    def __init__(self, folder: Path, bin: Path, agent: Path) -> None:
        super().__init__(folder, bin)
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
            interpreter=str(self.python),
            mlflow_run="f" * 32,
            **facts,
        )
        job.to_file(paths.job)
        return paths

    def begin(self, place: Place) -> tuple[Record, dict[str, str]]:
        """A job of `python main.py`, begun, and what its program sees."""
        record = Record(self.job(place.root, arguments=("python", "main.py")))
        record.begin_run()
        variables = of_job(record, place.root, self.python)
        own = ("MLFLOW", "_MLF", "REMOTE", "PYTHONPATH")
        return record, {
            **self.variables,
            **{key: variables[key] for key in variables if key.startswith(own)},
        }

    def work(self, place: Place, **asked: Any) -> Place:
        """The same by a worker, from its first word to its last."""
        paths = self.job(place.root, **asked)
        paths.live.parent.mkdir(exist_ok=True)
        paths.live.touch()
        argv = [sys.executable, "-IS", str(self.agent), "work-here", str(place.root), paths.id]
        return self.type(place, *argv)


@pytest.fixture(scope="module")
def packages() -> Path | str:
    """The programs of the environment with all packages, or why it can't be had."""
    try:
        return environment.made() / "venv/bin"
    except environment.Missing as reason:
        return f"the packages can't be installed here: {reason}"


@pytest.fixture(scope="module")
def bin(packages: Path | str) -> Path:
    return packages if isinstance(packages, Path) else Path(sys.executable).parent


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, bin: Path) -> Iterator[Submitted]:
    folder = tmp_path_factory.mktemp("it's a job é")
    agent = folder / "agent.zip"
    agent.write_bytes(bundle.packed(bundle.contents()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variables, "AGENT", Path(unpacked(str(agent))))
        yield Submitted(folder, bin, agent)


@pytest.fixture(scope="module")
def warm(submitted: Submitted, packages: Path | str) -> Iterator[Warm]:
    is_whole = isinstance(packages, Path)
    made = Warm(submitted.python, [*IMPORTS, *(OF_PACKAGES if is_whole else ())])
    yield made
    made.process.communicate()


@pytest.fixture(scope="module")
def typed(bin: Path, warm: Warm, packages: Path | str) -> dict[str, Place]:
    """All programs, typed. What MLflow leaves then is none of the toolkit's doing, so that it is kept."""
    names = ALL if isinstance(packages, Path) else PROGRAMS
    texts = [Path(str(file)).read_text() for file in (__file__, programs.__file__, others.__file__)]

    def make(folder: Path) -> None:
        places = {name: _typed(Typed(folder, bin), warm, name) for name in names}
        codes = {name: place.code for name, place in places.items()}
        (folder / "codes.json").write_text(json.dumps(codes))

    folder = made_once("plain", (names, texts, installed(bin)), make)
    codes = json.loads((folder / "codes.json").read_text())
    return {name: Place(folder / name, code) for name, code in codes.items()}


def _typed(typed: Typed, warm: Warm, name: str) -> Place:
    place, argv = typed.place(name), COLD.get(name, {}).get("arguments")
    return typed.type(place, *argv) if argv else warm.run(place, typed.variables)


@pytest.fixture(scope="module")
def pairs(
    submitted: Submitted, warm: Warm, typed: dict[str, Place]
) -> dict[str, tuple[Place, Place]]:
    """All programs, typed and as jobs."""
    return {name: (plain, _as_a_job(submitted, warm, name)) for name, plain in typed.items()}


def _as_a_job(submitted: Submitted, warm: Warm, name: str) -> Place:
    job = submitted.place(name)
    if name in COLD:
        return submitted.work(job, **COLD[name])
    record, seen = submitted.begin(job)
    warm.run(job, seen)
    state = FAILED if job.code else FINISHED
    job_run.end_runs(record.paths, record.job, JobStatus(state))
    return job


@pytest.mark.parametrize("name", ALL)
def test_a_program_leaves_the_runs_that_it_leaves_plainly(
    pairs: dict[str, tuple[Place, Place]], packages: Path | str, name: str
) -> None:
    if name not in pairs:
        pytest.skip(str(packages))
    plain, job = pairs[name]
    assert (plain.code != 0) == (name == "failing"), plain.said
    assert job.code == plain.code, job.said
    assert plain.runs() or plain.runs("own.db") or plain.runs("typed.db"), plain.said
    for store in ("mlflow.db", "own.db", "typed.db"):
        assert differences(plain, job, store) == [], job.said
    taken = job.runs()["f" * 32][1] != "job"
    assert taken == (name not in UNTAKEN)


def test_artifacts_are_compared_too(pairs: dict[str, tuple[Place, Place]]) -> None:
    plain, _ = pairs["resumed_tags"]
    assert {str(row[-3]) for row in plain.runs().values()} == {
        "['notes/a.txt', 'notes/b.json']",
        "[]",
    }


#: What it prints is what a program sees of how it was started.
SHOW = """
import importlib, json, os, sys
def main():
    def imported(name):
        try:
            return os.path.relpath(importlib.import_module(name).__file__ or "")
        except ImportError as error:
            return None
    names = ("helper", "space.inner.mod", "pkg.part", "queue", "tools.helper")
    print(json.dumps([sys.argv, os.getcwd() == os.path.realpath("."), sys.stdin.read()]))
    print(json.dumps([os.path.relpath(os.path.realpath(sys.path[0] or "."))]))
    print(json.dumps({name: imported(name) for name in names}))
"""
MAIN = f"""{SHOW}
if __name__ == "__main__":
    print(json.dumps([__package__, __spec__ and __spec__.name]))
    main()
"""

FILES = {
    "show.py": SHOW,
    "app.py": MAIN,
    "queue.py": "",
    "pkg/__init__.py": "",
    "pkg/__main__.py": MAIN,
    "pkg/part.py": MAIN,
    "space/inner/mod.py": MAIN,
    "tools/run.py": MAIN,
    "tools/helper.py": "",
    "folder/__main__.py": MAIN,
    "folder/helper.py": "",
    "tool": "#!/usr/bin/env python\nimport show\nshow.main()\n",
    "run.sh": 'python app.py "$@"\nexit 3\n',
    "itself.sh": '#!/bin/bash\nset -o pipefail\npython -m pkg "$@" | cat\n',
}

#: Arguments that a command line may hold.
ODD = "--flag -x3 --a=b=c key.with.dots=1 + -- - 日本 * $HOME ~ {a,b} --lr 1e-3".split()
ODD += ["q='it''s'", 'a="b c"', "", "two\nlines", "\\", "x=[1,2]", "--", "-m"]

#: A way of starting a program as it is typed, and as it is asked of a job.
WAYS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "script": (["python", "app.py"], {"kind": "script", "source": "app.py"}),
    "script below": (["python", "tools/run.py"], {"kind": "script", "source": "tools/run.py"}),
    "package": (["python", "-m", "pkg"], {"kind": "module", "source": "pkg"}),
    "module": (["python", "-m", "pkg.part"], {"kind": "module", "source": "pkg.part"}),
    "namespace": (
        ["python", "-m", "space.inner.mod"],
        {"kind": "module", "source": "space.inner.mod"},
    ),
    "console script": (["./tool"], {}),
    "folder": (["python", "folder"], {}),
    "isolated": (["python", "-I", "app.py"], {}),
    "safe path": (["python", "-P", "tools/run.py"], {}),
    "words": (["python", "-c", MAIN], {}),
    "shell script": (["sh", "run.sh"], {"kind": "script", "source": "run.sh"}),
    "executable": (["./itself.sh"], {"kind": "script", "source": "itself.sh"}),
    "nothing": (["no-such-program"], {}),
}


@pytest.fixture(scope="module")
def started(submitted: Submitted, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = submitted.folder / "ways"
    for file, text in FILES.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    for file in ("tool", "itself.sh"):
        (root / file).chmod(0o755)
    return Place(root)


@pytest.mark.parametrize("way", WAYS)
def test_a_program_sees_what_it_sees_when_it_is_typed(
    submitted: Submitted, started: Place, way: str
) -> None:
    argv, asked = WAYS[way]
    if way == "safe path" and sys.version_info < (3, 11):
        pytest.skip("python -P came with 3.11")
    try:
        plain = submitted.type(started, *argv, *ODD)
        code, typed = plain.code, plain.said.splitlines()
    except FileNotFoundError:
        code, typed = 127, []
    shutil.rmtree(started.root / ".remote", ignore_errors=True)
    arguments = ODD if asked else [*argv, *ODD]
    done = submitted.work(started, **{"arguments": tuple(arguments), **asked}, record=False)
    seen = [line for line in done.said.splitlines() if not line.startswith("[remote]")]
    assert done.code == code
    *typed, found = map(json.loads, typed) if typed else [{}]
    *seen, also = map(json.loads, seen) if seen else [{}]
    # A job finds what lies in the root, too, behind all else.
    assert {name: also[name] for name in found if found[name]} == {
        name: path for name, path in found.items() if path
    }
    assert [_plainly(line) for line in seen] == [_plainly(line) for line in typed]


def _plainly(line: list[Any]) -> list[Any]:
    """`./app.py` is the same as `app.py`."""
    words = line[0] if line and isinstance(line[0], list) else line
    if words and isinstance(words[0], str):
        words[0] = os.path.relpath(words[0]) if words[0].startswith(("./", "/")) else words[0]
    return line


def test_a_console_script_and_what_it_imports_choose_the_experiment(submitted: Submitted) -> None:
    place = submitted.place("console script")
    script = place.root / "tool"
    script.write_text("#!/usr/bin/env python\nimport sys\nimport tool\nsys.exit(tool.main())\n")
    script.chmod(0o755)
    assert submitted.work(place, arguments=("./tool",)).code == 0, place.said
    [(experiment, name, status, *_)] = place.runs().values()
    assert (experiment, name, status) == ("chosen", "tool", "FINISHED")


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


CRASH = """
import mlflow, os, signal
client = mlflow.MlflowClient()
client.create_run("0", run_name="by client")
own = mlflow.get_tracking_uri()
mlflow.set_tracking_uri("sqlite:///../elsewhere.db")
mlflow.MlflowClient().create_run("0", run_name="elsewhere")
mlflow.set_tracking_uri("sqlite:///data/results/inside.db")
mlflow.MlflowClient().create_run("0", run_name="inside")
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
mlflow.set_tracking_uri("data/results/files")
mlflow.MlflowClient().create_run("0", run_name="in files")
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
    assert f"runs were logged to {outside}, which no pull merges" in place.said
    assert "inside.db" not in place.said
    answer = delta_request._places(place.root)
    assert answer == (["data/results/inside.db", "data/results/files"], (str(outside),))
    [meta] = place.root.glob("data/results/files/0/*/meta.yaml")
    assert "\nstatus: 4\n" in meta.read_text()
