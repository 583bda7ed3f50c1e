"""Servers that real programs wrote, each once for all tests, and laptops to pull them to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.tracking.empty_store import ensure_store
from tests.kept import made_once, packages
from tests.migrations import warm_migrations
from tests.real import venvs
from tests.real.world import Laptop, Server, rows
from tests.research import environment
from tests.stores import empty_store

OURS = Path(sys.executable)

Make = Callable[..., Laptop]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("it's real #1 50%")


@pytest.fixture(scope="session")
def template(folder: Path) -> Path:
    """A store that the project's own MLflow made."""
    return empty_store(folder / "template")


@pytest.fixture(scope="session")
def laptop(folder: Path, template: Path) -> Make:
    """Makes laptops by name, each with a new store: the project's own MLflow's, or another's."""

    def make(name: str, python: Path = OURS) -> Laptop:
        made = Laptop(folder / f"laptop {name}" / "project")
        made.root.mkdir(parents=True)
        shutil.copy(template if python == OURS else store_of(python), made.store)
        rows(made.store, "UPDATE experiments SET artifact_location = ?", f"{made.root}/mlruns/0")
        return made

    return make


def store_of(python: Path) -> Path:
    """An empty store that another MLflow made."""

    def make(folder: Path) -> None:
        ensure_store(folder / "mlflow.db", folder / "mlruns", str(python))

    return made_once(f"store {python.parts[-3]}", packages(python.parent), make) / "mlflow.db"


@pytest.fixture(autouse=True, scope="module")
def quick_migrations() -> Iterator[None]:
    with warm_migrations():
        yield


def with_environment(name: str) -> Path:
    """Its interpreter; skips where it can't be had."""
    try:
        return venvs.python_with(name)
    except environment.Missing as reason:
        pytest.skip(f"{name} can't be installed here: {reason}")


@pytest.fixture(scope="session")
def old_python() -> Path:
    return with_environment(f"mlflow-{venvs.OLD}")


@pytest.fixture(scope="session")
def new_python() -> Path:
    return with_environment(f"mlflow-{venvs.NEW}")


@pytest.fixture(scope="session")
def lightning_python() -> Path:
    try:
        return environment.made() / "venv" / "bin" / "python"
    except environment.Missing as reason:
        pytest.skip(f"Lightning can't be installed here: {reason}")


@pytest.fixture(scope="session")
def old(folder: Path, old_python: Path) -> Server:
    return Server.written_by(folder / "old", old_python, "tracking.py", tell=True)


@pytest.fixture(scope="session")
def old_files(folder: Path, old_python: Path) -> Server:
    root = folder / "old files"
    return Server.written_by(root, old_python, "tracking.py", uri="./mlruns", tell=True)


@pytest.fixture(scope="session")
def new(folder: Path, new_python: Path) -> Server:
    return Server.written_by(folder / "new", new_python, "newer.py", tell=True)


@pytest.fixture(scope="session")
def autolog(folder: Path) -> Server:
    return Server.written_by(folder / "autolog", OURS, "autolog.py", tell=True)


@pytest.fixture(scope="session")
def traced(folder: Path) -> Server:
    return Server.written_by(folder / "traced", OURS, "traced.py", tell=True)


@pytest.fixture(scope="session")
def sweep(folder: Path) -> Server:
    return Server.written_by(folder / "sweep", OURS, "sweep.py")


@pytest.fixture(scope="session")
def lit(folder: Path, lightning_python: Path) -> Server:
    return Server.written_by(folder / "lit", lightning_python, "lit.py")
