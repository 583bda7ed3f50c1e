"""tmux keeps the worker alive. The state of a job never comes from tmux: its worker is a process."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from remote.agent import processes
from remote.agent.launchers import logind
from remote.errors import JobError
from remote.job.kinds import UI
from remote.job.status import RESTARTED, ProcessId

if TYPE_CHECKING:
    from remote.agent.launchers import Handle
    from remote.job.spec import Job

PROGRAMS: Tuple[str, ...] = ("tmux",)
START_LIMIT: Optional[float] = 20.0
ELSEWHERE = False
START_HINT = "Check that tmux works on the server: tmux new -d 'sleep 60'; tmux ls"

#: The tmux server of jobs whose handle doesn't name one: older versions wrote none down.
SOCKET = "remote"

#: What tmux says where its server, whose last session has just ended, ends with the new one.
ENDING = b"server exited unexpectedly"

_SOCKET = re.compile(r"[A-Za-z0-9_-]+\Z")


def start(job: Job, argv: Sequence[str], setting: str) -> Dict[str, Any]:
    """Start `argv` in a new detached session, named by the job; raises JobError.

    `setting` is the name of a tmux server of our own (`-L`, without tmux.conf). Its shell is
    /bin/sh: the command line is read by one, and the account's may be any. Sessions end with their
    worker.
    """
    if not _SOCKET.match(setting):
        raise JobError(f"REMOTE_TMUX_SOCKET {setting!r} is no plain name.", "Such as: remote")
    if job.sbatch and job.service != UI:
        raise JobError(
            "tmux runs this server's jobs, not Slurm: --sbatch, or `sbatch` of pyproject.toml, has"
            " no effect.",
            'Leave out the flag; replace the setting by launcher = "tmux" in the target\'s own table.',
        )
    if job.nodes > 1:
        raise JobError("--nodes needs Slurm: tmux runs a job on one machine.", "See docs/slurm.md")
    # A job that is submitted by another job's code is no part of that one.
    foreign = ("TMUX", "TMUX_PANE", "REMOTE_JOB_ID")
    env = {name: os.environ[name] for name in os.environ if name not in foreign}
    new = ["new-session", "-d", "-s", job.id, "-x", "160", "-y", "50", "-P", "-F", "#{pane_pid}"]
    # With exec, the pid of the pane is the worker's own.
    command = "exec " + " ".join(shlex.quote(word) for word in argv)
    tmux = ["tmux", "-L", setting, "-f", "/dev/null", *new, command]
    # Most calls of the agent start nothing, and start faster without.
    import subprocess

    def run() -> Any:
        return subprocess.run(
            [*logind.wrap(lambda: server(setting)), *tmux],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**env, "SHELL": "/bin/sh", "TERM": env.get("TERM") or "screen"},
            cwd=str(Path.home()),
        )

    try:
        result = run()
        if ENDING in result.stderr:
            result = run()
    except FileNotFoundError:
        raise JobError(
            "This server has no tmux.", "Install it on the server, or ask for it."
        ) from None
    if result.returncode:
        reason = result.stderr.decode("utf-8", "replace").strip()
        raise JobError(
            f"tmux could not start the job: {reason}", "Try it on the server: tmux new -d true"
        )
    identity = vars(processes.identity(int(result.stdout)))
    return {**identity, "socket": setting, "host": os.uname().nodename}


def alive(handle: Handle) -> Optional[bool]:
    """Whether the process still runs; None where the system doesn't tell, or it is another's: of
    several that share a target's disk, each knows its own processes alone."""
    here = os.uname().nodename
    if handle.get("host", here) != here and handle.get("boot") != processes.boot():
        return None
    return processes.alive(ProcessId(handle["pid"], handle.get("start"), handle.get("boot", "")))


def waiting(handle: Handle) -> str:
    """Nothing: it runs at once."""
    return ""


def stop(handle: Handle) -> None:
    """SIGTERM, unless another process may have the pid by now."""
    if alive(handle):
        processes.send([handle["pid"]], signal.SIGTERM)


def kill(handle: Handle) -> None:
    """SIGKILL to the worker and to all below it."""
    if alive(handle):
        pid = handle["pid"]
        processes.send([*processes.descendants(pid), pid], signal.SIGKILL)


def beside(handle: Handle, job_id: str, *, terminal: bool = False) -> List[str]:
    """None: the worker runs on this machine."""
    return []


def attach(handle: Handle, job_id: str) -> List[str]:
    """tmux's own command; `=` has it take the name as a whole, and not the beginning of one."""
    socket = handle.get("socket", SOCKET)
    return ["tmux", "-L", socket, "attach-session", "-t", f"={job_id}"]


def why_ended(handle: Handle) -> str:
    """A restart shows; what else ended a process, the system doesn't tell anybody else."""
    restarted = handle.get("boot") != processes.boot()
    return RESTARTED if restarted else "its worker is gone"


def server(socket: str) -> Optional[int]:
    """The pid of the tmux server of that name; None where none runs."""
    said = processes.answer(["tmux", "-L", socket, "list-sessions", "-F", "#{pid}"])
    return int(said.split()[0]) if said else None
