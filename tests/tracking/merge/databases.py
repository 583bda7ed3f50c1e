"""Private PostgreSQL and MariaDB servers, reached by a socket in a folder of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from remote.tracking import delta, merge
from tests.tracking.merge.conftest import Project, World

UPGRADE = (
    "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore;"
    " SqlAlchemyStore(sys.argv[1], sys.argv[2])"
)
"""Makes the tables as MLflow does when it is first used."""


def program(name: str, folders: list[Path]) -> str:
    """Where a server's program is; skips the test where it isn't installed."""
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} isn't installed")
    return found


@contextmanager
def folder() -> Iterator[Path]:
    """A short path, as sockets need, that another account can reach."""
    made = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def serving(argv: list[str], log: Path, ready: list[str], stop: signal.Signals) -> Iterator[None]:
    """Runs a server until the end of the block; `ready` is asked until it says so."""
    with open(log, "wb") as out:
        server = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        asked = 0
        while subprocess.run(ready, capture_output=True).returncode:
            asked += 1
            if server.poll() is not None or asked > 1000:
                pytest.fail(f"{argv[0]} didn't start: {log.read_text(errors='replace')[-500:]}")
        yield
    finally:
        server.send_signal(stop)
        server.wait(60)


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of a new database with MLflow's tables."""
    pytest.importorskip("psycopg")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb, postgres = (program(name, versions) for name in ("initdb", "postgres"))
    ready, psql = (program(name, versions) for name in ("pg_isready", "psql"))
    with folder() as place:
        # PostgreSQL won't run as root.
        other = []
        if os.geteuid() == 0:
            other = [program("setpriv", []), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
            shutil.chown(place, "nobody", "nogroup")
        made = [initdb, "-D", f"{place}/data", "-U", "mlflow", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*other, *made, "--locale=C"], check=True, capture_output=True, cwd="/")
        settings = [
            "listen_addresses=",
            "fsync=off",
            "synchronous_commit=off",
            "max_connections=40",
        ]
        argv = [*other, postgres, "-D", f"{place}/data", "-k", str(place)]
        argv += [word for setting in settings for word in ("-c", setting)]
        with serving(argv, place / "log", [ready, "-q", "-h", str(place)], signal.SIGINT):
            make = [psql, "-q", "-h", str(place), "-U", "mlflow", "-d", "postgres", "-c"]
            subprocess.run([*make, "CREATE DATABASE mlflow"], check=True)
            yield with_tables(f"postgresql://mlflow@/mlflow?host={place}")


@contextmanager
def mariadb() -> Iterator[str]:
    """The address of a new database with MLflow's tables."""
    pytest.importorskip("pymysql")
    server = program("mariadbd", [])
    install, admin, client = (
        program(name, []) for name in ("mariadb-install-db", "mariadb-admin", "mariadb")
    )
    with folder() as place:
        user = ["--user=root"] if os.geteuid() == 0 else []
        data, socket = f"--datadir={place}/data", f"--socket={place}/socket"
        install = [install, "--no-defaults", data, "--auth-root-authentication-method=normal"]
        subprocess.run([*install, "--skip-test-db", *user], check=True, capture_output=True)
        argv = [server, "--no-defaults", data, socket, f"--pid-file={place}/pid", *user]
        argv += ["--skip-networking", "--innodb-flush-log-at-trx-commit=0"]
        argv += ["--character-set-server=utf8mb4", "--max-allowed-packet=64M"]
        asked = [admin, "--no-defaults", socket, "--user=root", "ping"]
        with serving(argv, place / "log", asked, signal.SIGTERM):
            make = [client, "--no-defaults", socket, "--user=root", "-e"]
            subprocess.run([*make, "CREATE DATABASE mlflow"], check=True)
            yield with_tables(f"mysql+pymysql://root@localhost/mlflow?unix_socket={place}/socket")


def with_tables(address: str) -> str:
    done = subprocess.run([sys.executable, "-c", UPGRADE, address, "/tmp"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return address


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class Here(Project):
    """A project whose records are in a database, emptied before it is used."""

    def __init__(self, root: Path, address: str) -> None:
        self.root, self.store, self.mlruns = root, address, root / "mlruns"  # type: ignore[assignment]
        root.mkdir(parents=True)
        self.engine = sqlalchemy.create_engine(address, json_deserializer=_text)
        self.is_mysql = address.startswith("mysql")
        self._empty()
        self.sql(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
            " creation_time) VALUES (0, 'Default', ?, 'active', ?)",
            f"{self.mlruns}/0",
            hash(str(root)) % 10**12,
        )

    def _empty(self) -> None:
        tables = {*self.tables()} - {"alembic_version", "workspaces"}
        with self.engine.begin() as made:
            if not self.is_mysql:
                names = ", ".join(f'"{table}"' for table in tables)
                made.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
                return
            made.exec_driver_sql("SET foreign_key_checks = 0")
            for table in tables:
                if made.exec_driver_sql(f"SELECT EXISTS (SELECT 1 FROM `{table}`)").scalar():
                    made.exec_driver_sql(f"DELETE FROM `{table}`")
            made.exec_driver_sql("SET foreign_key_checks = 1")
            made.exec_driver_sql("ALTER TABLE experiments AUTO_INCREMENT = 1")

    def tables(self) -> list[str]:
        return sqlalchemy.inspect(self.engine).get_table_names()

    def close(self) -> None:
        self.engine.dispose()

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.store)

    def sql(self, query: str, *values: object) -> list[Any]:
        """In SQLite's words: question marks for values."""
        pieces = query.split("?")
        names = [f":value{number}" for number in range(len(values))] + [""]
        query = "".join(piece + name for piece, name in zip(pieces, names))
        if self.is_mysql:
            query = re.sub(r"\bkey\b", "`key`", query)
        bound = {f"value{number}": value for number, value in enumerate(values)}
        with self.engine.begin() as made:
            if self.is_mysql:
                made.exec_driver_sql("SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'")
            done = made.execute(sqlalchemy.text(query), bound)
            return [tuple(row) for row in done] if done.returns_rows else []

    def dump(self) -> list[str]:
        """All rows of all tables."""
        quote = self.engine.dialect.identifier_preparer.quote
        found = []
        for table in self.tables():
            with self.engine.connect() as made:
                rows = made.exec_driver_sql(f"SELECT * FROM {quote(table)}")
                found += [f"{table} {row}" for row in rows]
        return sorted(found)

    def broken_links(self) -> list[Any]:
        """The database itself sees to them."""
        return []


KINDS = {"postgresql": postgresql, "mariadb": mariadb}
_running = pytest.StashKey[dict[str, str]]()


def address_of(kind: str, config: pytest.Config) -> str:
    """Of a server that runs until the end of all tests."""
    running = config.stash.setdefault(_running, {})
    if kind not in running:
        stack = ExitStack()
        running[kind] = stack.enter_context(KINDS[kind]())
        config.add_cleanup(stack.close)
    return running[kind]


class Elsewhere(World):
    """A world whose own records are in a database that has an address."""

    def __init__(self, folder: Path, template: Path, address: str) -> None:
        super().__init__(folder, template)
        if address == "sqlite":
            self.address = f"sqlite:///{self.here.store}"
        else:
            self.address, self.here = address, Here(folder / "database", address)

    def delta(self, far: Project | None = None) -> Path:
        far = far or self.far
        out = self.folder / f"{far.root.name}.delta"
        delta.write(far.store, out, merge.known(self.base(far), store=self.address))
        return out

    def apply(
        self, file: Path, far: Project | None = None, *, dry_run: bool = False
    ) -> merge.MergeSummary:
        far = far or self.far
        return merge.merge(
            file,
            store=self.address,
            artifact_root=self.here.mlruns,
            base=self.base(far),
            source=far.root.name,
            dry_run=dry_run,
        )

    def close(self) -> None:
        if isinstance(self.here, Here):
            self.here.close()


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[Elsewhere]:
    kind = request.param
    address = kind if kind == "sqlite" else address_of(kind, request.config)
    made = Elsewhere(tmp_path / "it's a 100% #1", template, address)
    yield made
    made.close()
