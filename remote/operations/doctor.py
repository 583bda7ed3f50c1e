"""What this machine and the server have of what is needed, and the command that closes each gap."""

from __future__ import annotations

import shlex
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.agent.environments.lock_file import lock_file
from remote.config import Project, find_project, find_root
from remote.errors import ConfigError, JobError, RemoteError
from remote.job.messages.server import ExamineAnswer, ExamineRequest, PackageIndex
from remote.output import size
from remote.session import TargetSession
from remote.transport import process, rsync

#: Free bytes below which a disk of this machine, and of the server, is a gap: there, an environment
#: with torch takes about six billion.
SMALL, TIGHT = 1_000_000_000, 8_000_000_000

#: Seconds by which the server's clock may be wrong.
OFFSET = 60.0

QUIET = "in its start-up files (~/.bashrc), begin with: case $- in *i*) ;; *) return;; esac"


@dataclass(frozen=True)
class Check:
    """Something that was looked at, on this machine (`here`) or the server (`there`).

    Where it is a gap (not `ok`), `fix` is the command that closes it, and `stops` says that no work
    is possible before.
    """

    where: str
    name: str
    ok: bool
    message: str
    fix: str = ""
    stops: bool = False


def examine(text: str = "") -> Iterator[Check]:
    """All that is to be said, as it is found out; `text` names the target."""
    project, checks = project_here()
    yield from checks
    yield from laptop(project)
    yield from target(project, text)


def project_here() -> tuple[Project, list[Check]]:
    """The project, without its settings where they can't be read, and what there is to say."""
    try:
        project = find_project()
    except ConfigError as error:
        fix = f"{error.hint} Or begin anew: cp .env.example .env"
        gap = Check("here", ".env", False, error.message, fix, stops=True)
        return Project(find_root(), {}), [gap]
    return project, [_env(project.root / ".env")]


def _env(file: Path) -> Check:
    if not file.exists():
        return Check("here", ".env", True, "none")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Check("here", ".env", False, "other users can read it", f"chmod 600 {file}")
    return Check("here", ".env", True, "readable, by you alone")


def laptop(project: Project) -> Iterator[Check]:
    """What this machine has."""
    yield Check("here", "python", True, ".".join(map(str, sys.version_info[:3])))
    yield _rsync()
    yield _tool("ssh", "-V", "sudo apt-get install openssh-client", stops=True)
    yield _tool("git", "--version", "sudo apt-get install git (macOS: xcode-select --install)")
    yield _uv()
    yield _disk("here", "disk", shutil.disk_usage(project.root).free, "uv cache prune")
    yield _lock(project.root)


def _rsync() -> Check:
    try:
        dialect = rsync.dialect()
    except ConfigError:
        return Check("here", "rsync", False, "is not installed", rsync.INSTALL, stops=True)
    version = _first_line(process.run(["rsync", "--version"]))
    plain = "" if dialect.only("--delay-updates", "--info") else ", an old dialect: that will do"
    return Check("here", "rsync", True, f"{version}{plain}")


def _tool(name: str, option: str, install: str, *, stops: bool = False) -> Check:
    if shutil.which(name) is None:
        return Check("here", name, False, "is not installed", install, stops)
    return Check("here", name, True, _first_line(process.run([name, option])))


def _first_line(result: process.Result) -> str:
    said = result.stdout.decode("utf-8", "replace").strip() or result.stderr.strip()
    return (said.splitlines() or [""])[0]


def _uv() -> Check:
    from remote.operations.bootstrap import own_uv

    try:
        return Check("here", "uv", True, _first_line(process.run([str(own_uv()), "--version"])))
    except (ImportError, OSError):
        fix = f"{sys.executable} -m pip install uv"
        return Check("here", "uv", False, "is not in this environment", fix)


def _lock(root: Path) -> Check:
    try:
        return Check("here", "lock file", True, lock_file(root).name)
    except JobError as error:
        return Check("here", "lock file", False, error.message, error.hint, stops=True)


def _disk(where: str, name: str, free: int, fix: str) -> Check:
    ok = free >= (SMALL if where == "here" else TIGHT)
    return Check(where, name, ok, f"{size(free)} free", "" if ok else fix, free < SMALL // 10)


def target(project: Project, text: str) -> Iterator[Check]:
    """What the server has; one call of the agent."""
    try:
        server = TargetSession.of(project, project.target(text))
    except ConfigError as error:
        yield Check("there", "target", False, error.message, error.hint, stops=True)
        return
    start = time.time()
    try:
        server.connect()
        # The first call brings the agent, perhaps: that is no time of the clock's.
        answer = server.agent.call(ExamineRequest(path=server.target.path))
    except RemoteError as error:
        message = f"{server.target}: {error.message}"
        yield Check("there", "server", False, message, error.hint, stops=True)
        return
    yield Check("there", "server", True, f"{server.target} answers as {answer.host}")
    yield from _there(answer, noisy=bool(server.agent.noisy), start=start, end=time.time())


def _there(answer: ExamineAnswer, *, noisy: bool, start: float, end: float) -> Iterator[Check]:
    yield _shell(noisy)
    yield Check("there", "python3", True, answer.python)
    for name in ("rsync", "tmux"):
        fix, version = answer.install.get(name, ""), getattr(answer, name)
        message, ok = version or "is not installed", bool(version)
        yield Check("there", name, ok, message, "" if ok else fix, stops=not ok)
    yield Check("there", "uv", True, answer.uv or "none yet: the first job brings it")
    yield _folder(answer)
    yield _disk("there", "disk", answer.free, "inv remote-prune --older 30d")
    yield _disk("there", "home's disk", answer.home_free, "uv cache prune (there)")
    yield _clock(answer.now, start, end)
    yield _gpus(answer)
    yield _index(answer.index)
    yield _logind(answer)
    yield _tmp(answer.tmp_shared)


def _shell(noisy: bool) -> Check:
    if noisy:
        return Check("there", "login shell", False, "prints where no terminal is", QUIET)
    return Check("there", "login shell", True, "is quiet")


def _folder(answer: ExamineAnswer) -> Check:
    root = answer.root
    if answer.writable:
        return Check("there", "folder", True, f"{root} can be written to")
    chown = shlex.join(["sudo", "chown", answer.user, root])
    fix = f"choose one that you own, or there: {chown}"
    return Check("there", "folder", False, f"{root} can't be written to", fix, stops=True)


def _clock(now: float, start: float, end: float) -> Check:
    """The server's clock was read at some time between `start` and `end`."""
    offset = now - min(max(now, start), end)
    if abs(offset) <= OFFSET:
        return Check("there", "clock", True, f"right to {max(1, abs(round(offset)))} s")
    message = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's"
    return Check("there", "clock", False, message, "sudo timedatectl set-ntp true")


def _gpus(answer: ExamineAnswer) -> Check:
    if answer.gpu_fault:
        fix = "see what it says there: nvidia-smi. A reboot helps after a driver's update"
        return Check("there", "GPUs", False, answer.gpu_fault, fix)
    if not answer.gpus:
        return Check("there", "GPUs", True, "none: jobs run on the processor")
    names: dict[str, int] = {}
    for gpu in answer.gpus:
        names[gpu.name] = names.get(gpu.name, 0) + 1
    message = ", ".join(f"{count} x {name}" for name, count in names.items())
    return Check("there", "GPUs", True, f"{message}, driver {answer.gpus[0].driver}")


def _index(index: PackageIndex) -> Check:
    if index.reachable:
        return Check("there", "package index", True, f"{index.host} answers")
    fix = "write REMOTE_PROXY=laptop into .env: environments are made through this machine"
    return Check("there", "package index", False, f"{index.host} can't be reached", fix)


def _logind(answer: ExamineAnswer) -> Check:
    if not answer.logind_kills:
        return Check("there", "logind", True, "leaves jobs alone")
    if answer.lingers:
        return Check("there", "logind", True, f"kills at logout, but {answer.user} lingers")
    fix = shlex.join(["sudo", "loginctl", "enable-linger", answer.user])
    message = "ends all processes at logout, jobs too (KillUserProcesses=yes)"
    return Check("there", "logind", False, message, fix)


def _tmp(shared: bool) -> Check:
    if shared:
        return Check("there", "/tmp", True, "is shared and sticky")
    message = "others could remove what is yours there, or can't write"
    return Check("there", "/tmp", False, message, "sudo chmod 1777 /tmp")
