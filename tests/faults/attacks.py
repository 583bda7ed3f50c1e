"""What is killed half way: each command with what it is to do, and how that is looked at."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from remote.agent.environments import COMPLETE
from remote.job.status import FINISHED
from tests.agent.job_folder import add
from tests.faults.kills import OUTPUTS, Done, World, contents, rows, runs_of
from tests.stores import empty_store
from tests.tracking.export.conftest import serving

#: Who serves a command over ssh, and who moves its files.
CALL = ("client", "group", "agent", "sshd", "memory")
TRANSFER = ("client", "group", "sshd", "rsync here", "rsync there", "memory")

#: A package without others, so that an environment is made in a second.
SIX = "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"


@dataclass(frozen=True)
class Attack:
    """A command that somebody disturbs.

    `seconds` is about what it takes, `check` looks whether all is as if nobody had. It is asked for
    once more where `again` says so of what it did: unless it succeeded, if not stated otherwise.
    """

    words: tuple[str, ...]
    victims: tuple[str, ...]
    seconds: float
    check: Callable[[], None]
    again: Callable[[Done], bool] = lambda done: done.code != 0


def is_unanswered(done: Done) -> bool:
    """Whoever reads that a job has started does not start it once more."""
    return not done.job


def push(world: World, chance: random.Random, token: str) -> Attack:
    """Files come, change and go."""
    source = world.project.root / "src"
    old = sorted(path for path in source.rglob("*.py"))
    for path in chance.sample(old, len(old) // 2):
        path.unlink()
    for number in range(60):
        world.project.write(
            f"src/p{chance.randrange(9)}/m{number}.py", token * chance.randrange(99)
        )
    big = world.project.root / "data/raw/big.bin"
    big.write_bytes(chance.randbytes(6_000_000))
    done = world.run("sync-push", "--target", "gpu:twin")

    def check() -> None:
        twin = contents(world.server.home / "twin", without=OUTPUTS)
        assert contents(world.target, without=OUTPUTS) == twin
        assert "src" in str(twin) and "data/raw/big.bin" in twin

    return Attack(("sync-push",), TRANSFER, done.seconds, check)


def _records(world: World, chance: random.Random, token: str, root: Path) -> list[str]:
    names = [f"{token}{number:02d}".ljust(32, "0") for number in range(4)]
    for number, name in enumerate(names):
        world.record(root, name, f"{token} {number}")
    return names


def _as_the_twin(
    world: World, words: tuple[str, ...], victims: tuple[str, ...], *outputs: str
) -> Attack:
    """The same in a copy of the project says what is to come of it."""
    with world.twin() as twin:
        done = world.run(*words, root=twin)
        expected = rows(twin), contents(twin, without=(".remote",)), set(_kept(twin))

    def check() -> None:
        root = world.project.root
        there = rows(root), contents(root, without=(".remote",)), set(_kept(root))
        for now, then in zip(there, expected):
            differing = sorted(map(str, set(now) ^ set(then)))
            assert not differing, differing[:10]
        assert {**there[1], "mlflow.db": ""} == {**expected[1], "mlflow.db": ""}

    return Attack(words, victims, done.seconds, check)


#: In the names of files that tell which outputs are as a pull left them.
MARKS = ".outputs."


def _kept(root: Path) -> list[str]:
    """What is kept of a pull: bases, marks; but not when it was, nor whether the next one asks for an
    rsync."""
    names = contents(root / ".remote")
    return [name for name in names if not name.startswith("backup/") and MARKS not in name]


def pull(world: World, chance: random.Random, token: str) -> Attack:
    """Records, artifacts and results come."""
    _records(world, chance, token, world.target)
    results = world.target / "data/results" / token
    results.mkdir(parents=True)
    for number in range(40):
        (results / f"{number}.txt").write_text(token * chance.randrange(999))
    (results / "big.bin").write_bytes(chance.randbytes(6_000_000))
    return _as_the_twin(world, ("sync-pull",), (*TRANSFER, "agent"))


def merge(world: World, chance: random.Random, token: str) -> Attack:
    """The records of another store on this machine."""
    other = world.folder / f"other {token}"
    empty_store(other)
    _records(world, chance, token, other)
    return _as_the_twin(world, ("mlflow-merge", str(other)), ("client", "group", "memory"))


def submit(world: World, chance: random.Random, token: str) -> Attack:
    """A job runs once, whoever is killed while it is asked for."""

    def check() -> None:
        world.settle()
        assert world.executions(token) == 1, world.executions(token)

    words = ("remote-run", "--", "sh", "-c", f"echo {token} >> data/results/ran; sleep 0.2")
    return Attack(words, CALL, 2.0, check, again=is_unanswered)


def prune(world: World, chance: random.Random, token: str) -> Attack:
    """Jobs of years ago go, with their code."""
    old = [
        add(world.target, f"20200101-0000{i:02d}-{token}-aaaa", state=FINISHED) for i in range(9)
    ]
    for paths in old:
        for number in range(200):
            file = paths.code / f"p{number % 7}" / f"m{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(token)
        os.utime(paths.folder, (1, 1))

    def check() -> None:
        names = [path.name for path in (world.target / ".remote/jobs").glob("*")]
        left = [name for name in names if token in name]
        assert not left, left

    return Attack(("remote-prune", "--older", "900d", "--force"), CALL, 1.0, check)


def fetch(world: World, chance: random.Random, token: str) -> Attack:
    """What a job wrote where no pull brings it from."""
    script = f"mkdir made; for i in 1 2 3; do head -c 2000000 /dev/urandom > made/{token}$i; done"
    job = world.run("remote-run", "--follow", "--", "sh", "-c", script).job
    made = contents(world.target / ".remote/jobs" / job / "code/made")
    assert len(made) == 3

    def check() -> None:
        folder = world.project.root / "data/results/fetched" / job
        assert contents(folder) == {f"made/{name}": content for name, content in made.items()}

    return Attack(("remote-fetch", job), (*TRANSFER, "agent"), 1.5, check)


def setup(world: World, chance: random.Random, token: str) -> Attack:
    """An environment is made."""
    world.project.write("requirements.lock", f"# {token}\n{SIX}")
    world.run("sync-push")

    def check() -> None:
        world.settle()
        envs = [path for path in (world.target / ".remote/envs").glob("*") if path.is_dir()]
        assert envs and all((env / COMPLETE).is_file() for env in envs), envs

    return Attack(("remote-setup",), (*CALL, "uv", "uv", "worker", "tmux"), 4.0, check)


def rerun(world: World, chance: random.Random, token: str) -> Attack:
    """A job runs once more on another target."""
    script = f"echo {token} >> data/results/ran"
    job = world.run("remote-run", "--follow", "--", "sh", "-c", script).job
    world.run("sync-push", "--target", "gpu:other")

    def check() -> None:
        world.settle()
        world.run("remote-ps", "--target", "gpu:other")
        assert (world.executions(token), world.executions(token, "other")) == (1, 1)

    words = ("remote-rerun", job, "--on", "gpu:other")
    return Attack(words, (*CALL, "rsync here", "rsync there"), 2.5, check, again=is_unanswered)


def work(world: World, chance: random.Random, token: str) -> Attack:
    """A job loses its worker, or the terminal that this runs in."""
    script = f"sleep 2; echo {token} >> data/results/ran"

    def check() -> None:
        world.settle()
        assert world.executions(token) == 1
        assert not list((world.target / ".remote/live").glob("*"))

    words = ("remote-run", "--follow", "--", "sh", "-c", script)
    return Attack(words, ("worker", "tmux"), 5.0, check)


def give(world: World, chance: random.Random, token: str) -> Attack:
    """Runs from here are given to the target."""
    root, names = world.project.root, [f"{token}{number:02d}".ljust(32, "0") for number in range(3)]
    for name in names:
        world.record(root, name, f"{token} {name}")

    def check() -> None:
        assert runs_of(world.target, names) == runs_of(root, names)
        for name in names:
            (note,) = world.target.glob(f"mlruns/*/{name}/artifacts/note.txt")
            assert note.read_text() == f"{token} {name}"
        assert "0 new runs, 0 grown" in world.run("mlflow-pull").text

    return Attack(("mlflow-push", *names), TRANSFER + ("agent",), 2.5, check)


def export(world: World, chance: random.Random, token: str) -> Attack:
    """What is merged goes to an MLflow server."""
    other, server = world.folder / f"other {token}", world.folder / f"server {token}"
    empty_store(other)
    names = _records(world, chance, token, other)
    server.mkdir()
    address = world.services.enter_context(serving(server))
    world.project.env["MLFLOW_TRACKING_URI"] = address

    def check() -> None:
        del world.project.env["MLFLOW_TRACKING_URI"]
        world.services.close()
        with closing(sqlite3.connect(server / "server.db")) as database:
            query = (
                "SELECT t.value, COUNT(*) FROM tags t JOIN metrics m USING (run_uuid)"
                " WHERE t.key = 'remote.source_run' GROUP BY t.run_uuid"
            )
            sent = [row for row in database.execute(query) if row[0] in names]
        assert sorted(sent) == [(name, 20) for name in names]
        notes = [path.read_text() for path in server.glob("artifacts/**/note.txt")]
        assert sorted(note for note in notes if note.startswith(token)) == [
            f"{token} {number}" for number in range(len(names))
        ]

    return Attack(("mlflow-merge", str(other)), ("client", "group"), 9.0, check)


#: The cheap ones first: `make test` plays these.
ATTACKS = (push, pull, merge, submit, prune, fetch, setup, rerun, work, give, export)
