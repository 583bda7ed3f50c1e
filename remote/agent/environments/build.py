"""Make an environment once, however many processes want it, and show each of them how far it is."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Optional, Sequence, Tuple

from remote.agent.environments import is_ready
from remote.agent.environments.uv import Step, steps
from remote.agent.target_dir import find_uv
from remote.errors import JobError
from remote.files import read_json, write_json

#: How often who waits looks for news, in seconds.
PAUSE = 0.1

HINT = "Its words are in the job's log."


@dataclass(frozen=True)
class Order:
    """What an environment is made from."""

    lock: Path
    python: str
    extras: Tuple[str, ...]

    def __str__(self) -> str:
        extras = f" with {', '.join(self.extras)}" if self.extras else ""
        return self.lock.name + extras


def make_once(env: Path, order: Order, log: IO[bytes], *, job: str = "") -> None:
    """Make `env`, or wait for who makes it already; raises JobError."""
    env.parent.mkdir(parents=True, exist_ok=True)
    with open(str(env.with_suffix(".lock")), "a") as lock:
        waited_for = _take(lock, env, log)
        try:
            if not is_ready(env):
                _refuse_failed(env, waited_for)
                _make(env, order, lock, log, job)
        finally:
            # Closing would not do, should something that uv started have kept the file open.
            fcntl.flock(lock, fcntl.LOCK_UN)
    say(log, "the environment is ready")


def say(log: IO[bytes], text: str) -> None:
    """Put a line of the toolkit's own into a job's log."""
    log.write(f"[remote] {text}\n".encode("utf-8", "backslashreplace"))


def _take(lock: IO[str], env: Path, log: IO[bytes]) -> str:
    """Take the lock, and show meanwhile what its holder's uv says; the last attempt seen."""
    attempt, tail = "", None
    while not _taken(lock):
        seen = _latest(env)
        if "failed" not in seen and seen.get("id", attempt) != attempt:
            attempt, tail = seen["id"], _Tail(env.with_suffix(".log"), seen["start"])
            who = f"job {seen['job']}" if seen["job"] else "somebody else"
            say(log, f"waiting for the environment {env.name}, which {who} is making")
        if tail:
            tail.copy(log)
        time.sleep(PAUSE)
    if tail:
        tail.copy(log)
    return attempt


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _latest(env: Path) -> Dict[str, Any]:
    return read_json(env.with_suffix(".json")) or {}


@dataclass
class _Tail:
    """What was not shown yet of a file that grows."""

    path: Path
    start: int

    def copy(self, log: IO[bytes]) -> None:
        with open(str(self.path), "rb") as file:
            file.seek(self.start)
            self.start += log.write(file.read())


def _refuse_failed(env: Path, waited_for: str) -> None:
    """Who waited for an attempt that failed has failed too: nothing has changed since."""
    latest = _latest(env)
    if waited_for and latest.get("id") == waited_for and "failed" in latest:
        raise JobError(latest["failed"], HINT)


def _make(env: Path, order: Order, lock: IO[str], log: IO[bytes], job: str) -> None:
    if env.exists():
        shutil.rmtree(str(env))
    say(log, f"making the environment {env.name} from {order}")
    with open(str(env.with_suffix(".log")), "ab", buffering=0) as words:
        attempt = {"id": secrets.token_hex(8), "job": job, "start": words.tell()}
        write_json(env.with_suffix(".json"), attempt)
        try:
            for step in steps(_uv(), env, order.lock, order.python, order.extras):
                _run(step, order.lock.parent, lock, (words, log))
        except JobError as error:
            write_json(env.with_suffix(".json"), {**attempt, "failed": error.message})
            raise
    (env / ".complete").write_text("")


def _uv() -> str:
    uv = find_uv()
    if uv is None:
        raise JobError("uv is not on this server any more.", "Run the job again: uv is brought.")
    return uv


def _run(step: Step, cwd: Path, lock: IO[str], logs: Sequence[IO[bytes]]) -> None:
    """Run uv, which holds the lock with us: nobody makes anew what it still writes to."""
    process = subprocess.Popen(
        step.argv,
        cwd=str(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**_settings(), **step.env},
        pass_fds=(lock.fileno(),),
        preexec_fn=_end_with_parent,
    )
    try:
        _copy(process.stdout, logs)
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code:
        raise JobError(f"The environment could not be made: uv ended with {code}.", HINT)


def _copy(words: Optional[IO[bytes]], logs: Sequence[IO[bytes]]) -> None:
    assert words is not None
    for line in words:
        # A line for each of a hundred packages; the lock file says the same.
        if not line.startswith(b" + "):
            for log in logs:
                log.write(line)


#: Looked up before any fork: not much may be done after one.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)


def _end_with_parent() -> None:
    """Have the kernel end this process with its parent (Linux, prctl(2)): it can be SIGKILL."""
    PR_SET_PDEATHSIG = 1
    if _PRCTL:
        _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def _settings() -> Dict[str, str]:
    """uv's environment: the certificates of the system, as a company's proxy needs them."""
    found = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    found.setdefault("UV_SYSTEM_CERTS", "1")
    found.setdefault("UV_NO_PROGRESS", "1")
    return found
