"""A server and a project that are killed at random moments, and how what is left is compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from remote.agent import processes
from remote.agent.tracking import run_rows
from scripts.sshd import PrivateSshd
from tests.conftest import INV, ProjectFolder, make_project
from tests.stores import empty_store
from tests.waiting import until

#: An id of a job, as commands print it.
JOB = re.compile(r"\b\d{8}-\d{6}-[\w-]+-[0-9a-f]{4}\b")

#: What a command that was killed may leave below `.remote`, and the next one that succeeds may not.
LEFTOVER = re.compile(
    r"^(delta|store|incoming)-|(^|/)(\.tmp-|\.removed-|\.mlflow-new-|\.~tmp~)|\.(part|new|z)$"
)

#: Of a target: what no push sends.
OUTPUTS = (".remote", "mlflow.db", "mlruns", "logs", "outputs", "multirun")
OUTPUTS += ("data/results", "data/processed", "data/interim")


#: Of the runs that are there already.
TAGS = {"mlflow.runName": "sunny", "mlflow.user": "ada"}


@dataclass(frozen=True)
class Done:
    """A command that ended, of itself or not."""

    code: int
    text: str
    seconds: float
    struck: bool = False
    """Whether anybody was killed."""

    @property
    def job(self) -> str:
        """The id that it printed."""
        match = JOB.search(self.text)
        return match[0] if match else ""


@dataclass
class World:
    """One project, its targets on one server, and whoever works for them."""

    folder: Path
    server: PrivateSshd
    socket: str
    project: ProjectFolder = field(init=False)
    services: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What runs beside it, until this is closed."""

    def __post_init__(self) -> None:
        self.project = make_project(
            self.folder / "project",
            TARGET_DIR="gpu:proj",
            REMOTE_SSH_CONFIG=str(self.server.config),
            REMOTE_TMUX_SOCKET=self.socket,
        )
        self.project.write("requirements.lock", "# nothing\n")
        empty_store(self.project.root)
        self.run("sync-push")
        empty_store(self.target)

    @property
    def target(self) -> Path:
        return self.server.home / "proj"

    def run(self, *words: str, root: Path | None = None, code: int | None = 0) -> Done:
        """A command that nobody disturbs."""
        done = self.struck(Blow("nobody", 0), *words, root=root)
        assert code is None or done.code == code, f"inv {words} ended with {done.code}: {done.text}"
        return done

    def struck(self, blow: Blow, *words: str, root: Path | None = None) -> Done:
        """A command, and the end of somebody who serves it."""
        said = self.folder / "said"
        start = time.monotonic()
        with open(said, "wb") as out:
            client = subprocess.Popen(
                [str(INV), *words],
                cwd=root or self.project.root,
                env={**os.environ, **self.project.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=blow.limit,
            )
        struck = blow.fall(self, client)
        struck = client.wait(timeout=300) != 0 and blow.victim == "memory" or struck
        seconds = time.monotonic() - start
        return Done(client.returncode, said.read_text("utf-8", "replace"), seconds, struck)

    def serving(self) -> list[int]:
        """What runs on the server for somebody who is logged in."""
        return processes.descendants(self.server.pid)

    def of_jobs(self) -> list[int]:
        """The tmux server and the workers with all that they started, wherever it hangs now."""
        home = os.fsencode(self.server.home)
        pids = [pid for pid in running() if home in command_line(pid) or self.is_tmux(pid)]
        return [pid for pid in pids if pid != self.server.pid and pid not in self.serving()]

    def is_tmux(self, pid: int) -> bool:
        words = command_line(pid).split(b"\0")
        return words[0].endswith(b"tmux") and self.socket.encode() in words

    def settle(self) -> None:
        """Wait until every job has ended, and is known to have."""
        live = [target / ".remote/live" for target in self.server.home.glob("*")]
        until(lambda: self.run("remote-ps").text, lambda _: not any(map(_names, live)))

    def executions(self, token: str, target: str = "proj") -> int:
        """How often jobs wrote a line."""
        file = self.server.home / target / "data/results/ran"
        return file.read_text().splitlines().count(token) if file.exists() else 0

    def record(self, root: Path, run: str, text: str, metrics: int = 20) -> None:
        """A finished run in the store of `root`, as a job would leave it."""
        made = run_rows.begin(
            root / "mlflow.db", experiment="digits", run_id=run, tags=TAGS, start_ms=1000
        )
        for number in range(metrics):
            run_rows.add_metric(root / "mlflow.db", run, f"m{number}", number / 7, 2000 + number)
        made.artifact_dir.mkdir(parents=True, exist_ok=True)
        (made.artifact_dir / "note.txt").write_text(text)
        run_rows.close(root / "mlflow.db", run, status="FINISHED", end_ms=9000)

    @contextlib.contextmanager
    def twin(self) -> Iterator[Path]:
        """A copy of the project as it is, in which the same can be done undisturbed."""
        root = self.folder / "twin"
        shutil.copytree(self.project.root, root, symlinks=True)
        try:
            yield root
        finally:
            shutil.rmtree(root)

    def leftovers(self) -> list[str]:
        """What should have gone, at both ends."""
        roots = [self.project.root, *self.server.home.glob("*")]
        names = [(root.name, name) for root in roots for name in contents(root / ".remote")]
        return [f"{root}: {name}" for root, name in names if LEFTOVER.search(name)]


@dataclass(frozen=True)
class Blow:
    """Who is killed, with SIGKILL, and how long after it was first seen.

    `memory` is nobody: all that is begun here has so many MB of addresses, and no more.
    """

    victim: str
    seconds: float
    megabytes: int = 0

    def limit(self) -> None:
        """Of a child, before its exec."""
        if self.megabytes:
            resource.setrlimit(resource.RLIMIT_AS, (self.megabytes << 20,) * 2)

    @classmethod
    def draw(cls, chance: random.Random, victims: tuple[str, ...], seconds: float) -> Blow:
        """Anybody of `victims`, in any moment of a command that takes so long."""
        victim = chance.choice(victims)
        if victim == "memory":
            return cls(victim, 0, megabytes=chance.randrange(28, 48))
        is_client = victim in ("client", "group")
        return cls(victim, chance.random() * seconds * (0.95 if is_client else 0.3))

    def fall(self, world: World, client: subprocess.Popen[bytes]) -> bool:
        """Wait for the moment; whether anybody was there."""
        look = VICTIMS[self.victim]
        while client.poll() is None:
            if look(world, client.pid):
                time.sleep(self.seconds)
                pids = look(world, client.pid) if client.poll() is None else []
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return bool(pids)
            time.sleep(0.005)
        return False


def _named(pids: list[int], *names: str) -> list[int]:
    return [pid for pid in pids if name_of(pid) in names]


def _agents(world: World, client: int) -> list[int]:
    return [pid for pid in world.serving() if b"/agent-" in command_line(pid)]


def _workers(world: World, client: int) -> list[int]:
    return [pid for pid in world.of_jobs() if b"\0work\0" in command_line(pid)]


#: The processes of each victim; all are the test's own.
VICTIMS: dict[str, Callable[[World, int], list[int]]] = {
    "nobody": lambda world, client: [],
    "memory": lambda world, client: [],
    "client": lambda world, client: [client],
    "group": lambda world, client: [client, *processes.descendants(client)],
    "rsync here": lambda world, client: _named(processes.descendants(client), "rsync"),
    "rsync there": lambda world, client: _named(world.serving(), "rsync"),
    "agent": _agents,
    "sshd": lambda world, client: _named(world.serving(), "sshd", "sshd-session"),
    "worker": _workers,
    "tmux": lambda world, client: [pid for pid in world.of_jobs() if world.is_tmux(pid)],
    "uv": lambda world, client: _named(world.of_jobs(), "uv"),
}


def running() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def contents(root: Path, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file and link below a folder, with a digest of what it holds."""
    digests = {}
    for place, folders, names in os.walk(root):
        here = Path(place).relative_to(root)
        folders[:] = [name for name in folders if (here / name).as_posix() not in without]
        for name in [*names, *(name for name in folders if (Path(place) / name).is_symlink())]:
            path = Path(place) / name
            if (here / name).as_posix() not in without:
                with contextlib.suppress(FileNotFoundError):
                    digests[(here / name).as_posix()] = _content(path)
    return digests


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "special"


def rows(root: Path) -> list[str]:
    """The store of a project, or of its twin beside it, row for row."""
    with closing(sqlite3.connect(root / "mlflow.db", timeout=60)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        lines = [line.replace(str(root), "<project>") for line in database.iterdump()]
        return sorted(line.replace(str(root.parent / "project"), "<project>") for line in lines)


def runs_of(root: Path, names: list[str]) -> list[object]:
    """Some runs of a store, with their metrics."""
    marks = ", ".join("?" * len(names))
    with closing(sqlite3.connect(root / "mlflow.db", timeout=60)) as database:
        return database.execute(
            "SELECT r.run_uuid, r.name, r.status, r.end_time, m.key, m.value, m.step FROM runs r"
            f" JOIN metrics m USING (run_uuid) WHERE r.run_uuid IN ({marks}) ORDER BY 1, 5, 7",
            names,
        ).fetchall()
