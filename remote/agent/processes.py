"""Which processes live: told by pid, start time and boot, so that a reused pid fools nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from remote.job.status import ProcessId

PROC = Path("/proc")

#: How long a program may take to answer, in seconds.
LIMIT = 10.0


def which(program: str) -> Optional[str]:
    """The path of a program; None where it isn't on the PATH. Most calls of the agent start faster
    without shutil, which brings all kinds of archives."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, program)
        if Path(path).is_file() and os.access(path, os.X_OK):
            return path
    return None


def identity(pid: int) -> ProcessId:
    """What tells process `pid` from every other one, also after a reboot."""
    return ProcessId(pid=pid, start=started(pid), boot=boot())


def alive(process: Optional[ProcessId]) -> Optional[bool]:
    """Whether the process that `identity` described still runs; None where nobody tells."""
    if process is None or process.start is None:
        return False
    here = boot()
    if process.boot and here and process.boot != here:
        return False
    try:
        return started(process.pid) == process.start
    except OSError:
        return None


def boot() -> str:
    """A text that changes at every boot; empty where the system does not tell."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def started(pid: int) -> Optional[str]:
    """When `pid` started, in whatever unit the system tells; None once it is dead or a zombie.

    Raises OSError where the system doesn't let us look.
    """
    fields = _stat(pid)
    if fields is not None:
        return None if fields[0] in ("Z", "X") else fields[19]
    if PROC.joinpath("self/stat").exists():
        return None
    import subprocess

    done = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        stdout=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, start = done.stdout.decode().strip().partition(" ")
    return None if done.returncode or state.startswith("Z") else start.strip()


def _stat(pid: int) -> Optional[List[str]]:
    """The fields of /proc/<pid>/stat from the state (field 3) on: proc(5). None for no process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None


def user_name(uid: int) -> str:
    """The name of an account; its number where it has none."""
    # Here, since few callers of this module need it.
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def answer(argv: Sequence[str], *, limit: float = LIMIT) -> Optional[str]:
    """What a program says on its standard output; None where it fails, hangs or isn't there."""
    import subprocess

    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace")


def agent_argv(*words: str) -> List[str]:
    """argv of the agent that runs, with other words, as the laptop starts it (remote.rpc.wire)."""
    return [sys.executable, "-X", "utf8", "-IS", os.path.abspath(sys.argv[0]), *words]


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux, prctl(2))."""
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def dying_with_us() -> Callable[[], None]:
    """What a child of this thread has to call before its exec, for the kernel to kill it as soon as
    this thread ends, however it does (Linux, prctl(2))."""
    import ctypes

    PR_SET_PDEATHSIG = 1
    # Looked up before the fork: not much may be done after one.
    prctl, parent = getattr(ctypes.CDLL(None), "prctl", None), os.getpid()

    def arrange() -> None:
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def descendants(*pids: int) -> List[int]:
    """All living processes below `pids`."""
    children: Dict[int, List[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: List[int] = []
    todo = list(pids)
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def of_job(job_id: str, log: Path, leader: Optional[ProcessId]) -> List[int]:
    """The living processes of a job whose worker is gone, wherever they have gone themselves: its
    `leader` with its session, those that have the job's variable or write to its log, and all below.

    None where there is no /proc. A number alone proves nothing: it may be another's by now.
    """
    with_leader = leader is not None and alive(leader)
    marked = []
    for pid in map(int, filter(str.isdigit, os.listdir(str(PROC)) if PROC.is_dir() else ())):
        fields = _stat(pid)
        if fields and fields[0] not in ("Z", "X"):
            in_session = with_leader and leader and int(fields[3]) == leader.pid
            if in_session or _is_marked(PROC / str(pid), job_id, log):
                marked.append(pid)
    return sorted({*marked, *descendants(*marked)} - {os.getpid()})


def _is_marked(process: Path, job_id: str, log: Path) -> bool:
    # Those of others can't be looked into, and not be ended either.
    with contextlib.suppress(OSError):
        if f"REMOTE_JOB_ID={job_id}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        for stream in ("1", "2"):
            with contextlib.suppress(FileNotFoundError):
                if (process / "fd" / stream).samefile(log):
                    return True
    return False


def _parents() -> Iterator[Tuple[int, int]]:
    """(pid, pid of its parent) of every living process of this machine."""
    if not PROC.joinpath("self/stat").exists():
        import subprocess

        listing = subprocess.check_output(["ps", "-axo", "pid=,ppid=,stat="]).decode()
        for words in (line.split() for line in listing.splitlines()):
            if not words[2].startswith("Z"):
                yield int(words[0]), int(words[1])
        return
    for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        # What others may hide from us (hidepid) is no descendant of ours.
        with contextlib.suppress(PermissionError):
            fields = _stat(pid)
            if fields and fields[0] != "Z":
                yield pid, int(fields[1])


def uptime() -> float:
    """Seconds since this machine was booted; a clock that is set changes nothing in it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def send(pids: List[int], number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_descendants(pid: int, *, patience: float = 5.0) -> None:
    """End everything below `pid` (see `end`)."""
    end(lambda: descendants(pid), patience=patience)


def end(find: Callable[[], List[int]], *, patience: float = 5.0) -> List[int]:
    """End the processes that `find` finds: ask, wait for `patience` seconds, then kill. Those that
    are left come back.

    Collects the dead children of the calling process, so its own must have been waited for.
    """
    began = time.monotonic()
    for number, limit in ((signal.SIGTERM, patience), (signal.SIGKILL, 2 * patience)):
        send(find(), number)
        while find() and time.monotonic() < began + limit:
            _reap()
            time.sleep(0.02)
    _reap()
    return find()


def dead_children() -> Set[int]:
    """The children of this process, born to it or adopted, that have ended and that nobody has waited
    for; none where there is no /proc."""
    found: Set[int] = set()
    with contextlib.suppress(OSError):
        for task in (PROC / "self/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                fields = _stat(pid)
                if fields and fields[0] == "Z":
                    found.add(pid)
    return found


def bury(pids: Iterable[int]) -> None:
    """Have the system forget children that have ended: how, nobody learns any more."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
