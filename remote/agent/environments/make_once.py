"""Make an environment once, however many processes want it, and show each of them how far it is.

Beside the environment's folder `<name>/`, in which `.complete` tells that it was made to its end,
lie `<name>.lock` (who makes it holds it), `<name>.log` (what its programs said; it grows) and
`<name>.json` (the latest attempt: its id, the job, where in the log it begins, why it failed).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Callable, Dict, List, Mapping, Optional, Sequence

from remote.errors import JobError
from remote.files import read_json, try_lock, write_json

#: How often who waits looks for news, in seconds.
PAUSE = 0.1

HINT = "Its words are in the job's log."


@dataclass(frozen=True)
class Command:
    """One call of a program, with the variables that it needs besides."""

    argv: List[str]
    env: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How an environment is made: `commands`, asked for when it is made, run in `cwd`.

    `source` is what users are told that it is made from. Lines that begin with `omitted` stay out
    of the logs.
    """

    source: str
    commands: Callable[[], Sequence[Command]]
    cwd: Path
    variables: Mapping[str, str]
    omitted: bytes


def is_ready(env: Path) -> bool:
    """Whether the environment was made to its end."""
    return complete_file(env).is_file()


def complete_file(env: Path) -> Path:
    """The file that is there once the environment is whole."""
    return env / ".complete"


def make_once(env: Path, recipe: Recipe, log: IO[bytes], *, job: str) -> None:
    """Make `env`, or wait for who makes it already; raises JobError."""
    env.parent.mkdir(parents=True, exist_ok=True)
    with open(str(env.with_suffix(".lock")), "a") as lock:
        waited_for = _take(lock, env, log)
        try:
            if not is_ready(env):
                _refuse_failed(env, waited_for)
                _make(env, recipe, lock, log, job)
        finally:
            # Closing would not do, should something that was started have kept the file open.
            fcntl.flock(lock, fcntl.LOCK_UN)
    say(log, "the environment is ready")


def say(log: IO[bytes], text: str) -> None:
    """Put a line of the toolkit's own into a job's log."""
    log.write(f"[remote] {text}\n".encode("utf-8", "backslashreplace"))


def _take(lock: IO[str], env: Path, log: IO[bytes]) -> str:
    """Take the lock, and show meanwhile what its holder's programs say; the last attempt seen."""
    attempt, tail = "", None
    while not try_lock(lock, fcntl.LOCK_EX):
        latest = _latest(env)
        if "failed" not in latest and latest.get("id", attempt) != attempt:
            attempt, tail = latest["id"], _Tail(env.with_suffix(".log"), latest["start"])
            who = f"job {latest['job']}" if latest["job"] else "somebody else"
            say(log, f"waiting for the environment {env.name}, which {who} is making")
        if tail:
            tail.copy(log)
        time.sleep(PAUSE)
    if tail:
        tail.copy(log)
    return attempt


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


def _make(env: Path, recipe: Recipe, lock: IO[str], log: IO[bytes], job: str) -> None:
    if env.exists():
        shutil.rmtree(str(env))
    say(log, f"making the environment {env.name} from {recipe.source}")
    with open(str(env.with_suffix(".log")), "ab", buffering=0) as env_log:
        attempt = {"id": os.urandom(8).hex(), "job": job, "start": env_log.tell()}
        write_json(env.with_suffix(".json"), attempt)
        try:
            for command in recipe.commands():
                _run(command, recipe, lock, (env_log, log))
        except JobError as error:
            write_json(env.with_suffix(".json"), {**attempt, "failed": error.message})
            raise
    complete_file(env).write_text("")


def _run(command: Command, recipe: Recipe, lock: IO[str], logs: Sequence[IO[bytes]]) -> None:
    """Run a program, which holds the lock with us: nobody makes anew what it still writes to."""
    process = subprocess.Popen(
        command.argv,
        cwd=str(recipe.cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**recipe.variables, **command.env},
        pass_fds=(lock.fileno(),),
        preexec_fn=_ending_with_parent(),
    )
    try:
        _copy(process.stdout, logs, recipe.omitted)
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code:
        program = Path(command.argv[0]).name
        raise JobError(f"The environment could not be made: {program} ended with {code}.", HINT)


def _copy(output: Optional[IO[bytes]], logs: Sequence[IO[bytes]], omitted: bytes) -> None:
    assert output is not None
    for line in output:
        if not line.startswith(omitted):
            for log in logs:
                log.write(line)


def _ending_with_parent() -> Callable[[], None]:
    """What a child calls to have the kernel end it with its parent (Linux, prctl(2)).

    The parent can die of SIGKILL, and can't end its children itself then.
    """
    # Submitting a job needs an environment's name only, and starts faster without.
    import ctypes

    # Looked up before the fork: not much may be done after one.
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    PR_SET_PDEATHSIG = 1
    return lambda: prctl and prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
