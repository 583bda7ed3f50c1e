"""Make an environment once, however many processes want it, and show each of them how far it is.

Beside the environment's folder `<name>/` lie `<name>.lock` (who makes it holds it; among machines,
where locks may not hold, remote.agent.environments.maker tells who that is), `<name>.log`
(what its programs said; it grows) and `<name>.json` (the latest attempt: its id, the job, where in
the log it begins, why it failed).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO, Any, Dict, List, Mapping, NamedTuple, Sequence

from remote.agent import processes
from remote.agent.environments import COMPLETE, ProjectEnvironment
from remote.agent.environments.local_packages import installed_from_copy
from remote.agent.environments.maker import Claim
from remote.errors import JobError
from remote.files import read_json, try_lock_if_any, write_json

#: How often who waits looks for news, in seconds.
PAUSE = 0.1

HINT = "Its output is in the job's log."


class Recipe(NamedTuple):
    """How an environment is made: `commands`, run in `cwd` one after the other.

    `source` is what users are told that it is made from. Lines that begin with `omitted` stay out
    of the logs. `local_packages` are folders of the project that are installed too.
    """

    source: str
    commands: Sequence[List[str]]
    cwd: Path
    variables: Mapping[str, str]
    omitted: bytes = b"\0"
    local_packages: Sequence[str] = ()


def make_once(env: ProjectEnvironment, log: IO[bytes], *, job: str) -> None:
    """Make it, or wait for who makes it already; raises JobError."""
    env.folder.parent.mkdir(parents=True, exist_ok=True)
    claim = Claim(env.folder.parents[2], env.folder, job)
    with open(str(env.folder.with_suffix(".lock")), "a") as lock:
        waited_for = _take(lock, claim, env, log)
        try:
            if not env.is_ready():
                latest = _latest(env)
                if waited_for and latest.get("id") == waited_for and "failed" in latest:
                    # Who waited for an attempt that failed has failed too: nothing has changed.
                    raise JobError(latest["failed"], HINT)
                _make(env, lock, log, job)
        finally:
            claim.leave(is_made=env.is_ready())
            # Closing would not do, should something that was started have kept the file open.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
    _say(log, "the environment is ready")


def _say(log: IO[bytes], text: str) -> None:
    """Put a line of the toolkit's own into a job's log."""
    log.write(f"[remote] {text}\n".encode("utf-8", "backslashreplace"))


def _latest(env: ProjectEnvironment) -> Dict[str, Any]:
    return read_json(env.folder.with_suffix(".json")) or {}


def _take(lock: IO[str], claim: Claim, env: ProjectEnvironment, log: IO[bytes]) -> str:
    """Take the lock and the claim, and show meanwhile what their holder's programs say; the last
    attempt seen."""
    attempt, shown, is_locked = "", 0, False
    while True:
        is_locked = is_locked or try_lock_if_any(lock)
        is_ours = is_locked and (env.is_ready() or claim.take())
        latest = {} if is_ours else _latest(env)
        if "failed" not in latest and latest.get("id", attempt) != attempt:
            attempt, shown = latest["id"], latest["start"]
            who = f"job {latest['job']}" if latest["job"] else "somebody else"
            _say(log, f"waiting for the environment {env.name}, which {who} is making")
        if attempt:
            with open(str(env.folder.with_suffix(".log")), "rb") as env_log:
                env_log.seek(shown)
                shown += log.write(env_log.read())
        if is_ours:
            return attempt
        time.sleep(PAUSE)


def _make(env: ProjectEnvironment, lock: IO[str], log: IO[bytes], job: str) -> None:
    if env.folder.exists():
        shutil.rmtree(str(env.folder))
    recipe = env.kind.recipe(env.folder, env.request)
    _say(log, f"making the environment {env.name} from {recipe.source}")
    with open(str(env.folder.with_suffix(".log")), "ab", buffering=0) as env_log:
        attempt = {"id": os.urandom(8).hex(), "job": job, "start": env_log.tell()}
        write_json(env.folder.with_suffix(".json"), attempt)
        try:
            with installed_from_copy(env.request.code, recipe.local_packages, env.folder):
                for argv in recipe.commands:
                    _run(argv, recipe, lock, (env_log, log))
        except JobError as error:
            write_json(env.folder.with_suffix(".json"), {**attempt, "failed": error.message})
            raise
    (env.folder / COMPLETE).write_text("")


def _run(argv: List[str], recipe: Recipe, lock: IO[str], logs: Sequence[IO[bytes]]) -> None:
    """Run a program, which holds the lock with us: nobody makes anew what it still writes to."""
    process = subprocess.Popen(
        argv,
        cwd=str(recipe.cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=recipe.variables,
        pass_fds=(lock.fileno(),),
        preexec_fn=processes.dying_with_us(),
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if not line.startswith(recipe.omitted):
                for log in logs:
                    log.write(line)
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code:
        program = Path(argv[0]).name
        raise JobError(f"The environment could not be made: {program} ended with {code}.", HINT)
