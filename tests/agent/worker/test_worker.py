"""The worker as a process of its own: one job from its code to its last word."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from remote import files
from remote.agent import environments, processes
from remote.agent.environments import job_hook
from remote.agent.job_folders import read_status
from remote.agent.worker import Record
from remote.files import read_json, sha256
from remote.job.paths import CACHE, JobPaths
from remote.job.spec import Job
from remote.job.status import ENDED, FAILED, FINISHED, LOST, QUEUED, STOPPED, JobStatus
from remote.rpc import bundle
from remote.tracking.empty_store import KEPT
from tests.agent.job_folder import KEY, gone
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus
from tests.research.engine import BASE, Engine, engine  # noqa: F401
from tests.stores import empty_store
from tests.waiting import until

ID, OTHER = "20260101-090001-train-bbbb", "20260101-090000-train-aaaa"
HERE = os.uname().nodename

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's file, which is the worker too."""
    file = tmp_path_factory.mktemp("agent") / "agent.zip"
    file.write_bytes(bundle.packed(bundle.contents()))
    return file


@pytest.fixture
def start(agent: Path) -> Iterator[Start]:
    """Start the worker of a job: in the project itself, or with `verb="work"` in its snapshot."""
    started = []

    def run(paths: JobPaths, verb: str = "work-here") -> subprocess.Popen[str]:
        place = str(paths.root) if verb == "work-here" else KEY
        argv = [sys.executable, "-IS", str(agent), verb, place, paths.id]
        worker = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(worker)
        return worker

    yield run
    for worker in started:
        worker.kill()
        worker.communicate()


def job(root: Path, script: str = "true", **asked: Any) -> JobPaths:
    """A job that runs a line of the shell, with this Python unless it says otherwise."""
    paths = JobPaths(root, ID)
    paths.folder.mkdir(parents=True)
    facts: dict[str, Any] = {"interpreter": sys.executable, "record": False, "gpus": 0, **asked}
    words = ("sh", "-c", script)
    Job(id=ID, kind="command", source="", name="train", arguments=words, **facts).to_file(paths.job)
    paths.live.parent.mkdir(exist_ok=True)
    paths.live.touch()
    return paths


def ended(worker: subprocess.Popen[str], paths: JobPaths) -> tuple[int, JobStatus]:
    """The worker's exit code, and the last word on its job."""
    worker.communicate(timeout=60)
    return worker.returncode, read_status(paths)


def test_a_job_that_fails_is_told_in_its_log_its_status_and_the_terminal(
    root: Path, start: Start
) -> None:
    paths = job(root, "echo hello; pwd; exit 3")
    worker = start(paths)
    said, _ = worker.communicate(timeout=60)
    status = read_status(paths)
    assert worker.returncode == 3
    assert (status.state, status.exit_code, status.reason) == (FAILED, 3, "error")
    assert status.worker is not None and status.worker.pid == worker.pid and status.host == HERE
    assert status.waiting == "" and status.attempt == 1
    assert status.started and status.running and status.ended
    assert status.started <= status.running <= status.ended
    assert status.seconds == status.ended - status.running
    last = "[remote] failed, exit code 3\n"
    assert paths.log.read_text() == f"hello\n{root}\n{last}" == said
    assert not paths.live.exists()


WAITING = "echo $$ > pid; until test -e go; do sleep 0.02; done"


def test_the_command_of_notify_is_told_of_the_end(root: Path, start: Start) -> None:
    paths = job(root, notify='echo "$REMOTE_JOB_STATE $REMOTE_JOB_EXIT_CODE" > told; exit 5')
    code, status = ended(start(paths), paths)
    assert (code, status.state) == (0, FINISHED)
    assert (root / "told").read_text() == "finished 0\n"
    assert paths.log.read_text().endswith("--notify: its command failed (exit code 5)\n")


def test_notify_is_told_of_an_error_that_holds_any_bytes(root: Path, start: Start) -> None:
    said = "Traceback (most recent call last):\\n  x\\nValueError: a\\000b\\033[31m\\n"
    paths = job(root, f"printf '{said}'; exit 1", notify='echo "$REMOTE_JOB_CAUSE" > told')
    code, status = ended(start(paths), paths)
    assert (code, status.cause) == (1, "ValueError: a?b?[31m")
    assert (root / "told").read_text() == "ValueError: a?b?[31m\n"


@pytest.mark.parametrize("code", [0, 4])
def test_a_log_that_somebody_removed_changes_no_end(root: Path, start: Start, code: int) -> None:
    """As one who needs room does, of a log that is very long."""
    paths = job(root, f"echo; rm -f '{root}/.remote/jobs/{ID}/log'; exit {code}", retries=1)
    _, status = ended(start(paths), paths)
    assert (status.exit_code, status.attempt) == (code, 2 if code else 1)
    assert status.state == (FAILED if code else FINISHED)


def test_what_a_job_waits_for_may_be_long(root: Path) -> None:
    """As where many parts of cards are others'."""
    record = Record(job(root))
    record.wait("waiting for " + ", ".join(f"GPU {card}: job {ID}" for card in range(112)))
    assert read_status(record.paths).state == QUEUED


def test_a_disk_that_is_full_for_a_while_ends_no_wait(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(job(root))
    with monkeypatch.context() as full:
        full.setattr(files, "write_atomic", mock.Mock(side_effect=OSError(errno.ENOSPC, "full")))
        record.wait("waiting: 2 jobs are before this one")
    record.wait("waiting: 1 job is before this one")
    assert read_status(record.paths).waiting == "waiting: 1 job is before this one"


def test_processes_that_nobody_waits_for_are_not_left_dead(root: Path, start: Start) -> None:
    """As of code that starts some in the background again and again, and outlives them."""
    paths = job(
        root, "for i in 1 2 3 4 5 6 7 8; do (sleep 0 &); done; touch ran; " + WAITING + "; exit 7"
    )
    worker = start(paths)
    until((root / "ran").exists)
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    until(lambda: len(children.read_text().split()) == 1)
    (root / "go").touch()
    code, status = ended(worker, paths)
    assert (code, status.exit_code) == (7, 7)


KEEPS = 'cd "$REMOTE_JOB_STATE_DIR" && echo x >> tries && pwd && test $(wc -l < tries) = {tries}'


def test_what_a_job_keeps_is_there_when_it_is_tried_again(root: Path, start: Start) -> None:
    paths = job(root, KEEPS.format(tries=3), retries=2)
    code, status = ended(start(paths), paths)
    assert (code, status.attempt) == (0, 3)
    assert (root / f".remote/states/{ID}/tries").read_text() == "x\nx\nx\n"


def test_a_job_goes_on_with_what_another_has_kept(root: Path, start: Start) -> None:
    kept = root / ".remote/states" / OTHER
    kept.mkdir(parents=True)
    (kept / "tries").write_text("x\n")
    paths = job(root, KEEPS.format(tries=2), state=OTHER)
    code, _ = ended(start(paths), paths)
    assert code == 0 and paths.log.read_text().startswith(f"{kept}\n")
    assert [path.name for path in kept.parent.iterdir()] == [OTHER]


def test_what_is_gone_is_told_and_what_nobody_used_leaves_nothing(root: Path, start: Start) -> None:
    paths = job(root, "true", state=OTHER)
    ended(start(paths), paths)
    assert f"{OTHER} kept nothing in REMOTE_JOB_STATE_DIR" in paths.log.read_text()
    assert not list((root / ".remote/states").glob(f"{ID}*"))


def test_a_job_whose_cards_do_nothing_is_ended(
    root: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = job(
        root, "sleep 60", gpus=1, idle=2, interpreter="", leases=str(tmp_path), mlflow_run="ab"
    )
    ready_environment(root, paths.code)
    fake = FakeGpus(tmp_path / "fake", count=2)
    fake.card(1, utilization_gpu=50)
    monkeypatch.setenv("PATH", fake.path())
    code, status = ended(start(paths, "work"), paths)
    assert (code, status.state, status.reason) == (124, FAILED, "idle")
    assert status.cause == "its GPUs did nothing for 2 s"


def signalled(paths: JobPaths, worker: subprocess.Popen[str], number: int) -> JobStatus:
    """What becomes of a job whose worker gets a signal while the code runs, which has ended then."""
    pid = paths.root / "pid"
    until(lambda: pid.exists() and pid.read_text().strip())
    worker.send_signal(number)
    code, status = ended(worker, paths)
    assert code == status.exit_code and not processes.started(int(pid.read_text()))
    assert not paths.live.exists()
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_code_and_is_no_failure(
    root: Path, start: Start, number: signal.Signals
) -> None:
    paths = job(root, WAITING)
    if number == signal.SIGTERM:
        # As remote-stop does.
        paths.stop.touch()
    status = signalled(paths, start(paths), number)
    assert (status.state, status.exit_code, status.reason) == (STOPPED, 143, "stopped")


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGTERM, "a shutdown, a logout, or kill"), (signal.SIGHUP, "its terminal was closed")],
)
def test_a_signal_that_no_stop_sent_is_a_failure_with_its_cause(
    root: Path, start: Start, number: signal.Signals, words: str
) -> None:
    paths = job(root, WAITING)
    status = signalled(paths, start(paths), number)
    assert (status.state, status.exit_code, status.reason) == (FAILED, 128 + number, "signal")
    assert words in status.cause and f"failed, exit code {128 + number}" in paths.log.read_text()


def test_a_second_signal_takes_no_end_away(
    root: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Slurm ends a job, and its user too, while Slurm takes its time to say why."""
    slow = tmp_path / "bin/scontrol"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nsleep 0.5\necho JobState=TIMEOUT\n")
    slow.chmod(0o755)
    facts = {"REMOTE_LAUNCHER": "slurm", "SLURM_JOB_ID": "7", "PATH": f"{slow.parent}:{os.defpath}"}
    for name, value in facts.items():
        monkeypatch.setenv(name, value)
    paths = job(root, WAITING, interpreter="")
    ready_environment(root, paths.code)
    worker = start(paths, "work")
    until((paths.code / "pid").exists)
    worker.send_signal(signal.SIGTERM)
    until((tmp_path / "asked").exists)
    worker.send_signal(signal.SIGTERM)
    code, status = ended(worker, paths)
    assert (code, status.state, status.reason) == (124, FAILED, "timeout")


def test_the_code_dies_with_a_worker_that_is_killed(root: Path, start: Start) -> None:
    paths = job(root, WAITING)
    worker = start(paths)
    until(lambda: read_status(paths).code)
    until(lambda: (root / "pid").exists() and (root / "pid").read_text().strip())
    worker.kill()
    until(lambda: not processes.started(int((root / "pid").read_text())))


def ready_environment(root: Path, code: Path) -> str:
    """Make as if the environment of the job's code had been made; its name."""
    code.mkdir()
    (code / "requirements.lock").write_text("a==1\n")
    env = environments.of(root, code)
    (env.folder / "bin").mkdir(parents=True)
    (env.folder / "lib/python3.8/site-packages").mkdir(parents=True)
    # Without the packages of the tests' own environment.
    env.python.symlink_to(os.path.realpath(sys.executable))
    (env.folder / environments.COMPLETE).touch()
    return env.name


def test_ctrl_c_in_the_terminal_of_a_job_on_a_target_ends_nothing(root: Path, start: Start) -> None:
    paths = job(root, WAITING, interpreter="")
    ready_environment(root, paths.code)
    worker = start(paths, "work")
    until(lambda: (paths.code / "pid").exists())
    worker.send_signal(signal.SIGINT)
    (paths.code / "go").touch()
    code, status = ended(worker, paths)
    assert (code, status.state) == (0, FINISHED)


def test_the_environment_is_told_and_that_it_has_no_mlflow(root: Path, start: Start) -> None:
    paths = job(root, "command -v python", interpreter="", record=True, mlflow_run="ab")
    name = ready_environment(root, paths.code)
    code, status = ended(start(paths, "work"), paths)
    assert (code, status.environment, status.environment_ready) == (0, name, True)
    assert status.lock == sha256(paths.code / "requirements.lock")
    log = paths.log.read_text()
    assert "mlflow is not in the environment, so this job gets no MLflow run." in log
    assert f"{root}/.remote/envs/{name}/bin/python\n" in log
    # As in one that an earlier version of the toolkit has made.
    assert list(root.glob(f".remote/envs/{name}/lib/*/site-packages/{job_hook.NAME}"))


def test_an_environment_of_others_runs_a_job_and_stays_as_it_is(
    root: Path, start: Start, tmp_path: Path
) -> None:
    env = tmp_path / "theirs"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    packages = next(env.glob("lib/*/site-packages"))
    (packages / "thing-1.2.dist-info").mkdir()
    # The machine's own would ask the package index, and wait for it.
    pip = env / "bin/pip"
    pip.write_text('#!/bin/sh\necho "pip: $*"\n')
    pip.chmod(0o755)
    before = sorted(env.rglob("*"))
    # The record needs no MLflow there: an empty store that was brought will do.
    kept = empty_store(tmp_path / "empty")
    stores = Path.home() / CACHE / KEPT
    stores.mkdir(parents=True)
    kept.rename(stores / f"3.17-abc-{sha256(kept)}.db")
    asked = dict(interpreter="", record=True, mlflow_run="ab", experiment="x", user="ada")
    paths = job(
        root,
        "command -v python; echo $VIRTUAL_ENV; pip install x; exit 0",
        environment="python",
        environment_source=str(env),
        **asked,
    )
    paths.code.mkdir()
    code, status = ended(start(paths, "work"), paths)
    log = paths.log.read_text()
    assert (code, status.state) == (0, FINISHED), log
    assert log.startswith(f"{env}/bin/python\n{env}\npip: install x\n")
    assert status.environment.startswith("python-") and status.lock == ""
    assert read_json(paths.packages) == {"thing": "1.2"}
    assert sorted(env.rglob("*")) == before
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        assert database.execute("SELECT run_uuid, status FROM runs").fetchall() == [
            ("ab", "FINISHED")
        ]


@pytest.mark.slow
def test_a_stop_ends_what_docker_has_started(
    root: Path,
    start: Start,
    agent: Path,
    engine: Engine,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also what heeds no signal: the engine's child, and not the worker's."""
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)
    # Inside, the agent is found where it always is.
    place = Path.home() / CACHE / "agent.zip"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(agent.read_bytes())
    image = BASE if engine.private else "python:3.11-slim"
    script = (
        "trap '' TERM; echo $REMOTE_JOB_ID; touch data/ran; until test -e go; do sleep 0.05; done"
    )
    facts = dict(interpreter="", environment="container", environment_source=image)
    paths = job(root, script, **facts)
    paths.code.mkdir()
    (paths.code / "data").symlink_to(root / "data")
    argv = [sys.executable, "-IS", str(place), "work", KEY, paths.id]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as worker:
        until((root / "data/ran").exists)
        paths.stop.touch()
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    status = read_status(paths)
    log = paths.log.read_text()
    assert (status.state, status.environment[:10]) == (STOPPED, "container-"), log
    assert f"\n{ID}\n" in log and paths.packages.is_file()
    until(lambda: not engine.docker("ps", "-q"))


def test_what_setup_lines_export_reaches_the_job(root: Path, start: Start, tmp_path: Path) -> None:
    """As `module load` does: the Python is found on the PATH that they make, and the job's own
    variables are there for them."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python9").symlink_to(os.path.realpath(sys.executable))
    lines = (
        f"export PATH={tmp_path}/bin:$PATH",
        "export PYTHONPATH=/mods LR=$LR.1 REMOTE_JOB_ID=x",
    )
    facts = dict(interpreter="", environment="python", environment_source="python9")
    asked = 'command -v python9; echo "$PYTHONPATH $LR $REMOTE_JOB_ID"'
    paths = job(root, asked, setup=lines, env={"LR": "0"}, **facts)
    paths.code.mkdir()
    code, status = ended(start(paths, "work"), paths)
    log = paths.log.read_text()
    assert (code, status.state) == (0, FINISHED), log
    assert f"\n{tmp_path}/bin/python9\n" in log and f":/mods 0.1 {ID}\n" in log
    assert f"[remote] setup: {lines[0]}\n" in log


def test_a_setup_line_that_fails_ends_the_job_and_is_its_cause(root: Path, start: Start) -> None:
    paths = job(root, "touch ran", interpreter="", setup=("true", "module load cuda/99"))
    ready_environment(root, paths.code)
    code, status = ended(start(paths, "work"), paths)
    assert (code, status.state) == (1, FAILED)
    assert status.cause == "`setup` failed (127): module load cuda/99"
    assert "module: command not found" in paths.log.read_text()
    assert not (paths.code / "ran").exists()


def test_a_job_that_can_have_no_environment_is_refused_with_the_remedy(
    root: Path, start: Start
) -> None:
    paths = job(root, interpreter="")
    paths.code.mkdir()
    code, status = ended(start(paths, "work"), paths)
    assert (code, status.state, status.reason) == (1, FAILED, "refused")
    assert status.worker is None
    assert "no lock file" in status.cause and "uv pip compile" in status.cause


def test_a_submission_that_broke_off_is_refused(root: Path, start: Start) -> None:
    paths = job(root, interpreter="", host=HERE, submitter=gone())
    code, status = ended(start(paths, "work"), paths)
    assert (code, status.state, status.reason) == (1, FAILED, "refused")
    assert status.cause == "The submission broke off before its code was there.\nRun it again."


def test_a_submitter_on_another_machine_is_waited_for(root: Path, start: Start) -> None:
    paths = job(root, interpreter="", host="elsewhere", submitter=gone())
    worker = start(paths, "work")
    until(paths.times.exists)
    assert worker.poll() is None
    half = paths.folder / "half"
    ready_environment(root, half)
    half.rename(paths.code)
    code, status = ended(worker, paths)
    assert (code, status.state) == (0, FINISHED)


def test_a_submission_that_was_taken_back_leaves_nothing(root: Path, start: Start) -> None:
    paths = job(root, interpreter="", host=HERE, submitter=processes.identity(os.getpid()))
    worker = start(paths, "work")
    until(paths.times.exists)
    paths.job.unlink()
    worker.communicate(timeout=60)
    assert worker.returncode == 1 and not paths.status.exists() and paths.log.read_text() == ""


def other(root: Path, state: str) -> None:
    """The job that is to have finished before."""
    paths = JobPaths(root, OTHER)
    paths.folder.mkdir(parents=True)
    Job(id=OTHER, kind="command", source="", name="train").to_file(paths.job)
    JobStatus(state).to_file(paths.status)


def test_a_job_follows_one_that_has_finished(root: Path, start: Start) -> None:
    other(root, FINISHED)
    paths = job(root, after=OTHER)
    code, status = ended(start(paths), paths)
    assert (code, status.state, status.waiting) == (0, FINISHED, "")
    assert f"[remote] waiting for {OTHER} to finish\n" in paths.log.read_text()


def test_a_store_that_is_damaged_while_a_job_waits_keeps_no_code_from_running(
    root: Path, start: Start
) -> None:
    other(root, QUEUED)
    empty_store(root)
    asked = dict(record=True, mlflow_run="ab", experiment="x", user="ada", retries=1)
    paths = job(root, "echo x >> ran; test $(wc -l < ran) = 2", after=OTHER, **asked)
    worker = start(paths)
    until(lambda: read_status(paths).waiting)
    (root / "mlflow.db").write_bytes(b"damaged" * 999)
    JobStatus(FINISHED).to_file(JobPaths(root, OTHER).status)
    code, status = ended(worker, paths)
    assert (code, status.state, status.attempt) == (0, FINISHED, 2), paths.log.read_text()
    assert "its MLflow run is incomplete: " in paths.log.read_text() and paths.live.exists()


def test_a_damaged_list_of_what_is_read_only_keeps_no_code_from_running(
    root: Path, start: Start
) -> None:
    (root / "data/raw").mkdir(parents=True, exist_ok=True)
    (root / ".remote/raw").mkdir(exist_ok=True)
    (root / ".remote/raw/taken").write_bytes(b"\0\0\0\0")
    paths = job(root, "touch ran")
    code, _ = ended(start(paths), paths)
    assert code == 0 and (root / "ran").exists()
    assert "data/raw could not be made read-only: " in paths.log.read_text()


def test_what_a_job_follows_may_be_unreadable_for_a_while(root: Path, start: Start) -> None:
    other(root, "of a newer version")
    paths = job(root, after=OTHER)
    worker = start(paths)
    words = f"waiting for {OTHER} to finish"
    until(lambda: f"{words}, whose state is unknown: status.json" in read_status(paths).waiting)
    JobStatus(FINISHED).to_file(JobPaths(root, OTHER).status)
    code, status = ended(worker, paths)
    assert (code, status.state) == (0, FINISHED)


@pytest.mark.parametrize(
    ("state", "told"),
    [(FAILED, "failed"), (STOPPED, "was stopped"), (LOST, "was lost"), ("", "was removed")],
)
def test_a_job_fails_with_the_one_that_it_was_to_follow(
    root: Path, start: Start, state: str, told: str
) -> None:
    if state:
        other(root, state)
    paths = job(root, "touch ran", after=OTHER)
    code, status = ended(start(paths), paths)
    assert (code, status.state, status.reason) == (1, FAILED, "toolkit")
    assert status.cause == f"{OTHER}, which this job was to follow, {told}."
    hint = f"Why: inv remote-logs {OTHER}" if state else "Run it again without --after."
    assert f"[remote] {hint}\n" in paths.log.read_text()
    assert not (root / "ran").exists()


@pytest.mark.mlflow
def test_the_run_of_a_job_is_begun_and_ended_with_it(root: Path, start: Start) -> None:
    store = empty_store(root)
    paths = job(
        root, "echo $REMOTE_JOB_RUN$MLFLOW_RUN_ID; exit 7", record=True, mlflow_run="ab" * 16
    )
    code, _ = ended(start(paths), paths)
    with closing(sqlite3.connect(store)) as database:
        runs = database.execute("SELECT run_uuid, status FROM runs").fetchall()
        tags = dict(database.execute("SELECT key, value FROM tags").fetchall())
    assert code == 7 and runs == [("ab" * 16, "FAILED")]
    assert tags["remote.exit_code"] == "7" and tags["remote.job"] == ID
    assert paths.log.read_text().startswith("ab" * 16)


def test_what_the_toolkit_gets_wrong_ends_the_job_with_its_traceback(
    root: Path, start: Start
) -> None:
    paths = job(root, interpreter=str(root / "no python"))
    code, status = ended(start(paths), paths)
    assert (code, status.state, status.reason) == (1, FAILED, "toolkit")
    assert status.cause.startswith("the toolkit failed: [Errno 2]")
    assert "Traceback" in paths.log.read_text() and status.state in ENDED


def test_a_worker_that_begins_imports_nothing_slow() -> None:
    """Up to the first line of a job's code, its user waits for each of them."""
    program = (
        "import sys; from importlib import import_module\n"
        "for name in sys.argv[1:]: import_module('remote.agent.' + name)\n"
        "slow = ('dataclasses', 'inspect', 'tempfile', 'shutil', 'remote.tracking.filestore')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    modules = ["worker.worker", "worker.attempt", "tracking.job_run", "raw_data", "unpulled"]
    argv = [
        sys.executable,
        "-IS",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}",
    ]
    assert subprocess.run([*argv, *modules], capture_output=True, text=True).stdout == "[]\n"
