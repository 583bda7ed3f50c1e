"""The worker: supervises one job from its environment to its end, and outlives every connection."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any, Dict, Optional

from remote.errors import RemoteError
from remote.files import write_json
from remote.host import environment, process, record, records, results
from remote.host.place import root_of
from remote.job import ENDED, FAILED, FINISHED, PREPARING, RUNNING, STOPPED, JobPaths

#: How long a job may take to end after it was asked to, in seconds.
PATIENCE = 10.0


class Stopped(BaseException):
    """Somebody asked this job to end."""


def work(key: str, job_id: str) -> int:
    """Be the worker of a job of a target; its exit code comes back."""
    return Worker(JobPaths(root_of(key), job_id)).run()


def work_here(root: str, job_id: str) -> int:
    """Run a job in the project itself, in the terminal, with the Python that job.json names."""
    return Worker(JobPaths(Path(root), job_id)).run()


class Worker:
    """One job's supervisor. `status.json` is written here and nowhere else while it lives."""

    def __init__(self, paths: JobPaths) -> None:
        self.paths = paths
        self.job: Dict[str, Any] = json.loads(paths.job.read_bytes())
        self.status: Dict[str, Any] = {}
        self.run_record: Optional[record.RecordedRun] = None
        self.child: Optional["subprocess.Popen[bytes]"] = None
        self.log: IO[bytes] = open(str(paths.log), "ab", buffering=0)
        local = self.job.get("interpreter")
        self.code = paths.root if local else paths.code

    def run(self) -> int:
        """Take the job to its end; its exit code comes back."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _stop)
        process.adopt_orphans()
        worker = process.identity(os.getpid())
        self.write(state=PREPARING, worker=worker, host=platform.node(), started=time.time())
        mirror = threading.Thread(target=_mirror, args=(self.paths, self.ended), daemon=True)
        mirror.start()
        state, code, cause = self.perform()
        self.finish(state, code, cause)
        mirror.join(timeout=2)
        return code

    def write(self, **changes: Any) -> None:
        """Change some of the status, on disk in one step."""
        self.status.update(changes)
        write_json(self.paths.status, self.status)

    def ended(self) -> bool:
        """Whether the last word on this job is written."""
        return self.status.get("state") in ENDED

    def say(self, text: str) -> None:
        """Put a line of the toolkit's own into the job's log."""
        self.log.write(f"[remote] {text}\n".encode("utf-8", "backslashreplace"))

    def perform(self) -> "tuple[str, int, str]":
        """(state, exit code, cause) of the job."""
        try:
            python = self.prepare()
            code = self.execute(python)
        except Stopped:
            return STOPPED, 143, "stopped"
        except RemoteError as error:
            self.say(str(error).replace("\n", " "))
            return FAILED, 1, error.message
        except Exception as error:
            self.say(traceback.format_exc())
            return FAILED, 1, f"the toolkit failed: {error}"
        if code == 0:
            return FINISHED, 0, ""
        return FAILED, code if code > 0 else 128 - code, _cause(code)

    def prepare(self) -> Path:
        """Have the environment and the MLflow run ready; the interpreter comes back."""
        if record.is_store(records.store_of(self.paths.root)):
            self.begin_run()
        python = self.interpreter()
        if not self.run_record:
            if records.make_store(self.paths.root, python, self.base_env(python)):
                self.begin_run()
            else:
                self.say("mlflow is not in the lock file, so this job gets no MLflow run.")
        return python

    def begin_run(self) -> None:
        self.run_record = records.begin_run(self.paths, self.job, self.status["started"])

    def interpreter(self) -> Path:
        """The Python of the environment for the job's lock file, made now if it isn't there."""
        if self.job.get("interpreter"):
            return Path(self.job["interpreter"])
        lock = environment.lock_file(self.code)
        env = environment.folder(self.paths.root, lock, self.job.get("python", ""))
        self.write(environment=env.name)
        if not environment.is_ready(env):
            self.say(f"making the environment {env.name} from {lock.name}")
            environment.ensure(env, lock, self.job.get("python", ""), self.log)
            self.say("the environment is ready")
        return env / "bin" / "python"

    def execute(self, python: Path) -> int:
        """Run the user's code to its end."""
        argv = [str(python), os.path.abspath(sys.argv[0]), "notebook", str(self.paths.folder)]
        self.write(state=RUNNING, running=time.time())
        self.child = subprocess.Popen(
            argv,
            cwd=str(self.code),
            env=self.child_env(python),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        return self.child.wait()

    def base_env(self, python: Path) -> Dict[str, str]:
        """The environment variables of the account, with the job's own Python first on PATH."""
        dropped = ("TMUX", "SSH_", "PYTHON", "MLFLOW_", "VIRTUAL_ENV")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        return environment.activated(python.parent.parent, kept)

    def child_env(self, python: Path) -> Dict[str, str]:
        """What the job's own code sees."""
        agent = os.path.abspath(sys.argv[0])
        run = self.run_record
        found = {
            **self.base_env(python),
            **records.store_settings(self.paths.root),
            "PYTHONPATH": os.pathsep.join([str(self.code / "src"), str(self.code), agent]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            # tqdm's advice for notebooks that somebody looks at while they run.
            "PYTHONWARNINGS": "ignore:IProgress not found",
            "JUPYTER_PATH": str(self.paths.jupyter),
            "JUPYTER_RUNTIME_DIR": str(self.paths.jupyter / "runtime"),
            "REMOTE_JOB_ID": self.paths.id,
            "REMOTE_JOB_TAGS": json.dumps(records.tags(self.job)),
        }
        if run:
            found["MLFLOW_EXPERIMENT_ID"] = run.experiment_id
            if self.job.get("continues_run", True):
                found["MLFLOW_RUN_ID"] = run.run_id
            else:
                found["REMOTE_PARENT_RUN"] = run.run_id
        return found

    def finish(self, state: str, code: int, cause: str) -> None:
        """End what still runs, keep what there is, and write the last word."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self.end_child()
        process.end_descendants(os.getpid())
        try:
            self.keep_results(state)
            records.end_run(self.paths, state)
        except Exception:
            self.say(traceback.format_exc())
        self.say(f"{state}, exit code {code}" + (f" ({cause})" if cause else ""))
        self.write(state=state, exit_code=code, cause=cause, ended=time.time())

    def keep_results(self, state: str) -> None:
        """Put the executed notebook where results go, and say so."""
        kept = results.keep(self.paths, self.job, state)
        if kept:
            self.say(f"notebook: {kept}")
            self.status["result"] = kept

    def end_child(self) -> None:
        """Ask the job's own process to end, wait, then kill it."""
        if self.child is None or self.child.poll() is not None:
            return
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def _stop(number: int, frame: Any) -> None:
    raise Stopped()


def _cause(code: int) -> str:
    if code >= 0:
        return "its code failed"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _mirror(paths: JobPaths, ended: Any) -> None:
    """Show the log in the terminal that the worker runs in, for whoever attaches to it."""
    with open(str(paths.log), "rb") as file:
        while True:
            last = ended()
            for block in iter(lambda: file.read(1 << 16), b""):
                try:
                    os.write(1, block)
                except OSError:
                    return
            if last:
                return
            time.sleep(0.05)
