"""What this machine and the server have of what is needed, and the command that closes each gap."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from remote.agent.environments import conda, uv
from remote.config import Project, StrayProject, declared, find_project, find_root
from remote.errors import ConfigError, JobError, RemoteError
from remote.job.messages.target import ExamineAnswer, ExamineRequest
from remote.operations.tracking.destination import STORE
from remote.output import size
from remote.session import TargetSession
from remote.tracking.revisions import StoreSchema, schema_of
from remote.transport import process, rsync_dialect

#: Free bytes below which a disk of this machine, and of the server, is a gap: there, an environment
#: with torch takes about six billion.
SMALL, TIGHT = 1_000_000_000, 8_000_000_000

#: Seconds by which the server's clock may be wrong.
OFFSET = 60.0

#: Seconds that one of several servers has to say all that: it looks for an index, among others.
LIMIT = 60.0

RAISE = "raise mlflow in the project's dependencies, then: make lock"
QUIET = "in its start-up files (~/.bashrc), begin with: case $- in *i*) ;; *) return;; esac"


@dataclass(frozen=True)
class Check:
    """Something that was looked at, on this machine (`here`) or the server (`there`,
    or its name where there are several).

    Where it is a gap (not `ok`), `fix` is the command that closes it, and `stops` says that no work
    is possible before.
    """

    where: str
    name: str
    ok: bool
    message: str
    fix: str = ""
    stops: bool = False


def _check(
    where: str, name: str, ok: bool, good: str, bad: str, fix: str, *, stops: bool = False
) -> Check:
    """One that says `good` where it is ok, else `bad`, with its fix."""
    return Check(where, name, ok, good) if ok else Check(where, name, ok, bad, fix, stops)


def _disk(where: str, name: str, free: int, fix: str) -> Check:
    said, enough = f"{size(free)} free", SMALL if where == "here" else TIGHT
    return _check(where, name, free >= enough, said, said, fix, stops=free < SMALL // 10)


def examine(text: str = "") -> Iterator[Check]:
    """All that is to be said, as it is found out; `text` names the target."""
    project, check = project_here()
    yield check
    yield from laptop(project, text)
    yield from several(project, text) if _is_pool(project, text) else target(project, text)


def project_here() -> tuple[Project, Check]:
    """The project, without its settings where they can't be read, and what there is to say."""
    try:
        project = find_project()
    except StrayProject:
        raise
    except ConfigError as error:
        fix = f"{error.hint} Or begin anew: install -m 600 .env.example .env"
        return Project(find_root(), {}), Check(
            "here", ".env", False, error.message, fix, stops=True
        )
    file = project.root / ".env"
    if not file.exists():
        return project, Check("here", ".env", True, "none")
    ok = not stat.S_IMODE(file.stat().st_mode) & 0o077
    good, bad = "readable, by you alone", "other users can read it"
    return project, _check("here", ".env", ok, good, bad, f"chmod 600 {file}")


def laptop(project: Project, text: str = "") -> Iterator[Check]:
    """What this machine has for work with the target that `text` names."""
    yield Check("here", "python", True, ".".join(map(str, sys.version_info[:3])))
    yield _tool("rsync", "--version", rsync_dialect.INSTALL, stops=True)
    yield from _receiver()
    yield _tool("ssh", "-V", "sudo apt-get install openssh-client", stops=True)
    yield _tool("git", "--version", "sudo apt-get install git (macOS: xcode-select --install)")
    yield _disk("here", "disk", shutil.disk_usage(project.root).free, "uv cache prune")
    yield _environment(project, text)
    yield from _records("here", schema_of(project.root / STORE, Path(sys.executable)))


def _environment(project: Project, text: str) -> Check:
    """What jobs' environments are made from, or that they are there already."""
    kind = ""
    # What is wrong with the target is told by itself.
    with contextlib.suppress(ConfigError):
        kind = project.target_settings(project.target(text)).environment
    if kind not in ("", "uv"):
        return Check("here", "environment", True, f"{kind}, by pyproject.toml")
    try:
        return Check("here", "lock file", True, uv.lock_file(project.root).name)
    except JobError as error:
        if conda.suits(project.root) and not uv.suits(project.root):
            return Check("here", "environment", True, "conda, by environment.yml")
        return Check("here", "lock file", False, error.message, error.hint, stops=True)


def _records(where: str, schema: StoreSchema | ExamineAnswer) -> Iterator[Check]:
    """The MLflow of one side, and whether it opens the store there."""
    version, revision = schema.mlflow, schema.revision
    yield Check(where, "MLflow", True, version or "none yet")
    if schema.store_fault:
        message, _, fix = schema.store_fault.partition("\n")
        yield Check(where, STORE, False, message, fix)
    if revision:
        bad = f"a newer MLflow has opened it (schema {revision}), which locks out {version}"
        yield _check(where, STORE, not schema.is_refused, f"schema {revision}", bad, RAISE)


def _tool(name: str, option: str, install: str, *, stops: bool = False) -> Check:
    if shutil.which(name) is None:
        return Check("here", name, False, "is not installed", install, stops)
    version = _said_first(name, option)
    if name == "rsync" and not rsync_dialect.dialect().only("--delay-updates", "--info"):
        version += ", an old version: sufficient"
    return Check("here", name, True, version)


def _receiver() -> Iterator[Check]:
    """Whether rsync here takes from a server what it didn't ask for: from 3.2.5 on it does so only
    where it is told to, and has an option for that. What is left to such a server is told in
    docs/security.md."""
    if shutil.which("rsync") is not None:
        ok = bool(rsync_dialect.dialect().only("--trust-sender"))
        bad = "trusts the server (before 3.2.5), which could replace artifacts of its experiments' runs"
        update = "update rsync (macOS: brew install rsync)"
        yield _check(
            "here", "rsync's care", ok, "accepts only the files that it asked for", bad, update
        )


def _said_first(*argv: str) -> str:
    result = process.run(argv)
    said = result.stdout.decode("utf-8", "replace").strip() or result.stderr.strip()
    return (said.splitlines() or [""])[0]


def target(project: Project, text: str) -> Iterator[Check]:
    """What the server has; one call of the agent."""
    try:
        server = TargetSession.of(project, project.target(text))
    except ConfigError as error:
        yield Check("there", "target", False, error.message, error.hint, stops=True)
        return
    try:
        server.connect()
        yield from _examined(server)
    except RemoteError as error:
        message = f"{server.target}: {error.message}"
        yield Check("there", "server", False, message, error.hint, stops=True)


def _is_pool(project: Project, text: str) -> bool:
    # What is wrong with a name is told as that of one target.
    with contextlib.suppress(ConfigError):
        return project.is_pool(text)
    return False


def several(project: Project, text: str) -> Iterator[Check]:
    """The same of all that a group stands for, each by its name; only where none answers does that
    stop all work."""
    from remote.operations.pool import ask_all, sessions

    servers = sessions(project, text)
    replies = ask_all(servers, lambda server: list(_examined(server)), limit=LIMIT)
    is_dead = not any(reply.answer for reply in replies)
    for reply in replies:
        label = reply.server.target.label
        if reply.error:
            message, hint = reply.error.message, reply.error.hint
            yield Check(label, "server", False, message, hint, stops=is_dead)
        for check in reply.answer or ():
            yield replace(check, where=label)


def _examined(server: TargetSession) -> Iterator[Check]:
    """What a server has; raises RemoteError where it doesn't say."""
    start, python = time.time(), declared(server.project.root, "requires-python")
    # The first call brings the agent, perhaps: that is no time of the clock's.
    answer = server.agent.call(ExamineRequest(path=server.target.path, python=python))
    yield Check("there", "server", True, f"{server.target} answers as {answer.host}")
    yield from _there(answer, noisy=bool(server.agent.noisy), start=start, end=time.time())


def _there(answer: ExamineAnswer, *, noisy: bool, start: float, end: float) -> Iterator[Check]:
    """The server's clock was read at some time between `start` and `end`."""
    good, bad = "prints nothing", "prints text without a terminal"
    yield _check("there", "login shell", not noisy, good, bad, QUIET)
    yield Check("there", "python3", True, answer.python)
    for name in ("rsync", "tmux"):
        version, install = getattr(answer, name), f"sudo apt-get install -y {name} (or dnf …)"
        ok, bad = bool(version), "is not installed"
        yield _check("there", name, ok, version, bad, install, stops=True)
    yield Check("there", "uv", True, answer.uv or "none yet: the first job copies it")

    good, bad = f"{answer.root} can be written to", f"{answer.root} can't be written to"
    own = shlex.join(["sudo", "chown", answer.user, answer.root])
    fix = f"choose one that you own, or on the server: {own}"
    yield _check("there", "folder", answer.writable, good, bad, fix, stops=True)
    yield _disk("there", "disk", answer.free, "inv remote-prune --older 30d")
    yield _disk("there", "home's disk", answer.home_free, "uv cache prune (on the server)")

    yield from _records("there", answer)
    ours = schema_of(Path(), Path(sys.executable))._replace(revision=answer.revision)
    bad = f"the local MLflow {ours.mlflow} doesn't know their schema: pulls may leave out some"
    yield _check("there", "records", not ours.is_refused, "can be pulled completely", bad, RAISE)

    offset = answer.now - min(max(answer.now, start), end)
    good = f"right to {max(1, abs(round(offset)))} s"
    bad = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's"
    fix = "sudo timedatectl set-ntp true"
    yield _check("there", "clock", abs(offset) <= OFFSET, good, bad, fix)

    count = Counter(answer.gpus)
    good = ", ".join(f"{number} x {name}" for name, number in count.items())
    good = f"{good}, driver {answer.driver}" if good else "none: jobs run on the processor"
    fix = "run nvidia-smi on the server. A reboot helps after a driver update"
    yield _check("there", "GPUs", not answer.gpu_fault, good, answer.gpu_fault, fix)

    good, bad = f"{answer.index} answers", f"{answer.index} can't be reached"
    fix = "write REMOTE_PROXY=laptop into .env: environments are made through this machine"
    yield _check("there", "package index", answer.index_reachable, good, bad, fix)

    lingers = f"kills at logout, but {answer.user} lingers"
    good = lingers if answer.logind_kills else "leaves jobs alone"
    bad = "ends all processes at logout, jobs too (KillUserProcesses=yes)"
    fix = shlex.join(["sudo", "loginctl", "enable-linger", answer.user])
    yield _check("there", "logind", not answer.logind_kills or answer.lingers, good, bad, fix)
    bad = "others could remove your files, or can't write"
    shared = "is shared and sticky"
    yield _check("there", "/tmp", answer.tmp_shared, shared, bad, "sudo chmod 1777 /tmp")
