"""Jobs on a real server: real tmux, real papermill, real MLflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import SOCKET, ProjectFolder
from tests.integration import notebooks
from tests.integration.plain_programs import MODULES
from tests.integration.plain_runs import Place, differences
from tests.integration.witness import Store
from tests.kept import made_once, packages
from tests.stores import empty_store
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def project(shared_project: ProjectFolder) -> ProjectFolder:
    """One target for all tests of this module: its environment is made once."""
    return shared_project


@pytest.fixture
def target_root(shared_root: Path) -> Path:
    return shared_root


def job_folder(root: Path, job: str) -> Path:
    return root / ".remote/jobs" / job


def status(root: Path, job: str) -> dict:
    return json.loads((job_folder(root, job) / "status.json").read_text())


def submit(project: ProjectFolder, text: str, *flags: str, name: str = "some") -> str:
    project.write(f"src/notebooks/{name}.ipynb", text)
    return project.inv("remote-run", f"{name}.ipynb", *flags).out.strip().splitlines()[-1]


def finish(project: ProjectFolder, text: str, *flags: str, name: str = "some") -> str:
    job = submit(project, text, *flags, name=name)
    project.inv("remote-logs", job, "--follow", check=False)
    return job


def test_parameters_arrive_as_they_were_typed_in_the_snapshot_and_the_jobs_own_environment(
    project: ProjectFolder, target_root: Path
) -> None:
    message = (
        '-it\'s "quoted" $(touch pwned) `touch pwned` $HOME \\ 日本\nnew line; & | * '
        + "x" * 90_000
    )
    flags = [
        "--epoch=-3",
        f"--message={message}",
        "--ratio",
        "1e-3",
        "--shuffle",
        "--layers",
        "[3]",
    ]
    job = finish(project, notebooks.ECHO, *flags)
    assert status(target_root, job)["state"] == "finished"
    seen = json.loads((target_root / "logs/echo.json").read_text())
    assert seen == [-3, message, 0.001, True, [3]]
    assert not list(target_root.rglob("pwned"))
    log = (job_folder(target_root, job) / "log").read_text()
    told = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert told["cwd"] == str(job_folder(target_root, job) / "code")
    assert told["python"].startswith(str(target_root / ".remote/envs"))
    assert told["tmux"] == ""


def test_a_program_sees_what_it_sees_when_it_is_typed_in_its_folder(
    project: ProjectFolder,
) -> None:
    """Its own names hide nothing, its folder is the working one, and nothing can be installed."""
    project.write("src/__init__.py", "")
    project.write("src/logging.py", "def get(): return 'own logging'")
    project.write("src/lib/own.py", "NAME = 'lib'")
    project.write("yaml/__init__.py", "")
    project.write("tools/beside.py", "")
    project.write(
        "tools/app.py",
        "import beside, logging, os, subprocess, sys, yaml\n"
        "from lib.own import NAME\nfrom src.logging import get\n"
        "print(logging.INFO, NAME, get(), 'site-packages' in yaml.__file__)\n"
        "print(os.path.basename(os.getcwd()), *sys.argv[1:])\n"
        "sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', 'six']) + 4)\n",
    )
    words = ["remote-run", "tools/app.py", "--cwd", "notebook", "--gpus", "0", "--follow"]
    done = project.inv(*words, "--", "a b", check=False)
    shutil.rmtree(project.root / "yaml")
    assert "20 lib own logging True\ntools a b\n" in done.out
    assert "`pip install` is refused in a job" in done.out and "requirements.lock" in done.out
    assert done.code == 5, done.text


FOLDS = """
import choosing, mlflow, subprocess, sys
with mlflow.start_run(run_name="outer", tags={"k": "v"}):
    mlflow.log_params({"lr": 0.1, "layers": [1, 2]})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("a note", "notes/a.txt")
    for fold in range(2):
        with mlflow.start_run(run_name=f"fold {fold}", nested=True):
            mlflow.log_metric("score", fold)
subprocess.run([sys.executable, "fit.py", "0.1"], check=True)
"""


def typed() -> Path:
    """The folder in which it was typed."""
    files = {**MODULES, "main.py": FOLDS}

    def make(folder: Path) -> None:
        empty_store(folder)
        for name, text in files.items():
            (folder / name).write_text(text)
        subprocess.run([sys.executable, "main.py"], cwd=folder, check=True)

    return made_once("typed folds", (files, packages(Path(sys.executable).parent)), make)


def test_its_runs_are_here_after_a_pull_as_it_leaves_them_when_it_is_typed(
    project: ProjectFolder,
) -> None:
    plain = Place(typed())
    for name, text in {**MODULES, "main.py": FOLDS}.items():
        project.write(f"src/typed/{name}", text)
    words = ["src/typed/main.py", "--cwd", "notebook", "--gpus", "0", "--follow"]
    job = project.inv("remote-run", *words).out.splitlines()[0]
    project.inv("sync-pull")
    here = Place(project.root, job=job)
    [own] = (run for run, row in here.runs().items() if row[1] == "outer")
    assert len(here.runs()) == len(plain.runs()) == 4
    assert differences(plain, here, own_id=own) == []
    assert here.runs()[own][6] == ["notes/a.txt"]


def test_pushing_while_it_runs_changes_nothing_for_it(
    project: ProjectFolder, target_root: Path
) -> None:
    project.write("src/lib/part.py", "VALUE = 'frozen'\n")
    text = notebooks.notebook(
        "import time, os\nprint('started', flush=True)\n"
        "while not os.path.exists('data/processed/go-on'): time.sleep(0.1)\n"
        "from lib import part\nopen('logs/part.txt', 'w').write(part.VALUE)"
    )
    job = submit(project, text)
    project.write("src/lib/part.py", "VALUE = 'changed'\n")
    project.inv("sync-push")
    assert "changed" in (target_root / "src/lib/part.py").read_text()
    (target_root / "data/processed/go-on").write_text("")
    project.inv("remote-logs", job, "--follow")
    assert (target_root / "logs/part.txt").read_text() == "frozen"


def test_the_executed_notebook_is_complete_and_read_only(
    project: ProjectFolder, target_root: Path
) -> None:
    job = finish(project, notebooks.FIGURE, name="report")
    result = target_root / status(target_root, job)["result"]
    assert result.name == "-".join(job.split("-")[:2]) + "_report.ipynb"
    assert stat.S_IMODE(result.stat().st_mode) == 0o444
    outputs = [cell["outputs"] for cell in json.loads(result.read_text())["cells"]]
    assert "knows no mlflow" in json.dumps(outputs)
    assert not list(result.parent.glob(".tmp*"))
    run = Store(target_root / "mlflow.db").run_of(job)
    page = run.artifacts / result.with_suffix(".html").name
    assert "knows no mlflow" in page.read_text() and "data:image/png;base64" in page.read_text()
    assert [figure.name for figure in (run.artifacts / "figures").iterdir()] == ["cell-3-1.png"]


def test_a_failed_notebook_is_kept_and_says_so(project: ProjectFolder, target_root: Path) -> None:
    job = submit(project, notebooks.FAILS)
    done = project.inv("remote-logs", job, "--follow", check=False)
    assert done.code == 1
    assert "ValueError: the data is bad" in done.out and "before" in done.out
    told = status(target_root, job)
    assert told["state"] == "failed" and told["exit_code"] == 1
    result = target_root / told["result"]
    assert result.name.endswith("_some.failed.ipynb")
    assert "the data is bad" in result.read_text()
    assert job in project.inv("remote-ps").out and "failed" in project.inv("remote-ps").out


def test_a_job_says_what_to_type_next_and_is_a_run_though_its_notebook_knows_no_mlflow(
    project: ProjectFolder, target_root: Path
) -> None:
    git(project.root)
    project.write("src/notebooks/some.ipynb", notebooks.PLAIN)
    done = project.inv("remote-run", "some.ipynb", "--epoch", "7")
    job = done.out.strip()
    assert job and " " not in job
    assert f"inv remote-logs {job} --follow" in done.err and "make sync-pull" in done.err
    project.inv("remote-logs", job, "--follow")
    run = Store(target_root / "mlflow.db").run_of(job)
    commit = git_output(project.root, "rev-parse", "HEAD")
    assert run.status == "FINISHED" and run.end_time >= run.start_time > 0
    assert run.params["epoch"] == "7" and run.params["ratio"] == "0.5"
    assert run.tags["mlflow.source.git.commit"] == commit
    assert run.tags["remote.job"] == job
    assert run.tags["remote.target"] == project.env["TARGET_DIR"]
    kept = Path(status(target_root, job)["result"]).name
    page = str(Path(kept).with_suffix(".html"))
    assert sorted(os.listdir(run.artifacts)) == sorted([kept, page, "remote"])
    account = {"job.json", "log.txt", "status.json", "uncommitted.diff"}
    assert account >= set(os.listdir(run.artifacts / "remote")) >= account - {"uncommitted.diff"}
    assert stat.S_IMODE((run.artifacts / "remote/job.json").stat().st_mode) == 0o600


LOGS = """
import argparse, mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--n-layer", type=int)
parser.add_argument("data")
arguments = parser.parse_args()
with mlflow.start_run():
    mlflow.log_params({"lr": arguments.lr, "depth": arguments.n_layer})
"""


def test_a_scripts_arguments_stand_in_its_run_and_a_deleted_experiment_has_a_way_back(
    project: ProjectFolder, target_root: Path
) -> None:
    project.write("logs_params.py", LOGS)
    words = ["remote-run", "--follow", "logs_params.py", "--gpus", "0"]
    arguments = ["--", "--lr", "1e-3", "--n-layer=2", "a b.csv"]
    settings = {"MLFLOW_EXPERIMENT_NAME": "with arguments"}
    job = project.inv(*words, *arguments, **settings).out.splitlines()[0]
    run = Store(target_root / "mlflow.db").run_of(job)
    # What the code has logged stays as it logged it.
    assert run.params == {"lr": "0.001", "depth": "2", "n_layer": "2", "arg_1": "a b.csv"}
    assert run.tags["remote.command"] == "logs_params.py --lr 1e-3 --n-layer=2 'a b.csv'"
    with closing(sqlite3.connect(target_root / "mlflow.db")) as database, database:
        deleted = "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'with arguments'"
        database.execute(deleted)
    refused = project.inv(*words, *arguments, check=False, **settings)
    assert refused.code == 1 and re.search(r"'with arguments' \(id \d+\) is deleted", refused.out)
    way = re.search(r"^\[remote\] Restore it: inv (\S+) (.*)$", refused.out, re.MULTILINE)
    assert way, refused.text
    assert "restored" in project.inv(way[1], "--follow", *way[2].split()).out
    project.inv("remote-run", "--follow", "--gpus", "0", "--", "true", **settings)


def test_a_stopped_job_is_killed_with_its_tmux_session_and_keeps_what_it_did(
    project: ProjectFolder, target_root: Path
) -> None:
    job = submit(project, notebooks.SLEEPS)
    until(lambda: "started" in (job_folder(target_root, job) / "log").read_text())
    pids = processes_of(job_folder(target_root, job))
    assert pids and f"{job}:" in tmux_sessions()
    done = project.inv("remote-stop", job[-4:])
    assert "stopped" in done.out
    told = status(target_root, job)
    assert told["state"] == "stopped" and told["result"].endswith(".stopped.ipynb")
    assert Store(target_root / "mlflow.db").run_of(job).status == "KILLED"
    assert not processes_of(job_folder(target_root, job))
    until(lambda: job not in tmux_sessions())
    assert "had ended already" in project.inv("remote-stop", job).out


def test_a_job_whose_worker_is_gone_is_lost_and_its_run_fails(
    project: ProjectFolder, target_root: Path
) -> None:
    job = submit(project, notebooks.SLEEPS)
    until(lambda: "started" in (job_folder(target_root, job) / "log").read_text())
    worker = status(target_root, job)["worker"]["pid"]
    children = processes_of(job_folder(target_root, job))
    for pid in [worker, *children]:
        kill(pid)
    until(lambda: "lost" in project.inv("remote-ps").out)
    assert Store(target_root / "mlflow.db").run_of(job).status == "FAILED"
    stamp = "-".join(job.split("-")[:2])
    kept = target_root / f"data/results/notebooks/{stamp}_some.lost.ipynb"
    assert "started" in kept.read_text() and stat.S_IMODE(kept.stat().st_mode) == 0o444
    assert not (job_folder(target_root, job) / "jupyter").exists()
    assert kept.name in project.inv("remote-ps").out


def test_a_run_survives_the_laptop_and_each_pull_brings_its_newest_metrics(
    project: ProjectFolder, target_root: Path
) -> None:
    """It is one that the notebook itself starts, in an experiment that it chooses as it runs."""
    choice = "import mlflow, time; mlflow.set_experiment('digits of ' + 'mine')"
    text = notebooks.METRICS.replace("import mlflow, time", choice)
    before = len(Store(target_root / "mlflow.db").runs()) if exists(target_root) else 0
    job = submit(project, text, "--message", "wait", "--epoch", "4")
    follower = project.start("remote-logs", job, "--follow")
    until(lambda: "first part done" in (job_folder(target_root, job) / "log").read_text())
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=30)
    assert follower.returncode != 0 and "keeps running" in err, err
    close_masters(project)
    listed = project.inv("remote-ps").out
    assert re.search(rf"{job} +running .*cell \d+/\d+, .*loss=\S+ \(step 3\)", listed), listed
    project.inv("sync-pull")
    local = Store(project.root / "mlflow.db")
    assert local.run_of(job).status == "RUNNING"
    assert len(local.run_of(job).history("loss")) == 4
    (target_root / "data/processed/go").write_text("")
    project.inv("remote-logs", job, "--follow")
    project.inv("sync-pull")
    run = local.run_of(job)
    assert run.status == "FINISHED" and len(run.history("loss")) == 5
    assert len(Store(target_root / "mlflow.db").runs()) == before + 1
    assert run.experiment == "digits of mine"
    there = Store(target_root / "mlflow.db").run_of(job)
    assert "note.txt" in os.listdir(there.artifacts)
    assert str(there.artifacts).startswith(str(target_root / "mlruns"))
    assert there.history("loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25), (4, 0.0)]
    assert (run.id, run.start_time, run.end_time) == (there.id, there.start_time, there.end_time)
    assert (run.params, run.tags) == (there.params, there.tags)
    assert run.history("loss") == there.history("loss")
    assert {"note.txt"} < set(os.listdir(run.artifacts))
    assert str(run.artifacts).startswith(str(project.root / "mlruns"))
    assert list((project.root / "data/results/notebooks").glob("*_some.ipynb"))
    store = (project.root / "mlflow.db").read_bytes()
    said = project.inv("sync-pull")
    assert "0 files, 0 new runs, 0 grown, 0 artifacts" in said.out
    assert (project.root / "mlflow.db").read_bytes() == store


def test_a_pull_keeps_what_it_replaces_here(project: ProjectFolder, target_root: Path) -> None:
    (target_root / "outputs/score.txt").write_text("from the server")
    mine = project.write("outputs/score.txt", "my own remark, and longer")
    only_here = project.write("outputs/only-here.txt", "mine")
    said = project.inv("sync-pull").text
    assert mine.read_text() == "from the server" and only_here.read_text() == "mine"
    (kept,) = project.root.glob(".remote/backup/pull-*/outputs/score.txt")
    assert kept.read_text() == "my own remark, and longer"
    assert kept.parent.parent.relative_to(project.root).as_posix() in said


def test_a_reader_that_goes_ends_it_silently(project: ProjectFolder) -> None:
    listing = project.start("remote-ps", "--all")
    assert listing.stdout is not None and listing.stderr is not None
    listing.stdout.close()
    said = listing.stderr.read()
    assert listing.wait(60) == 141 and said == ""
    listing.stderr.close()


# ---------------------------------------------------------------------------------------------


def exists(root: Path) -> bool:
    return (root / "mlflow.db").exists()


def processes_of(folder: Path) -> list[int]:
    """Processes of a job: those that work in its snapshot or name it on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            cwd = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder) in cwd or os.fsencode(str(folder)) in words:
            found.append(int(entry.name))
    return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def tmux_sessions() -> str:
    return subprocess.run(
        ["tmux", "-L", SOCKET, "list-sessions"], capture_output=True, text=True
    ).stdout


def close_masters(project: ProjectFolder) -> None:
    from remote.transport.ssh import Ssh

    Ssh("gpu", project.env["REMOTE_SSH_CONFIG"]).close()


def git(root: Path) -> None:
    if (root / ".git").exists():
        return
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=root, check=True)


def git_output(root: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=root, text=True).strip()
