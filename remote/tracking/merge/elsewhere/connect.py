"""Connects to another database by SQLAlchemy. What goes wrong is a StoreError without password."""

from __future__ import annotations

import importlib
import warnings
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from remote.errors import StoreError
from remote.tracking.merge.elsewhere.address import PACKAGES, scrubbed, shown
from remote.tracking.merge.local_store import Disturbed

_SECONDS = {"connect_timeout": 20}
_WITH_TIMEOUT = ("psycopg", "psycopg2", "pymysql", "mysqldb")
_STRICT = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
"""Too long a value is an error, whatever the server's default; 0 is an id as any other."""
_DISTURBED = {"40001", "40P01", "55P03", "23505", "23503"}
"""PostgreSQL: serialization, deadlock, lock timeout; a key that is there, or isn't any more."""
_DISTURBED_MYSQL = {1213, 1205, 1062, 1451, 1452, 1305}
"""The same for MySQL, whose deadlocks take the savepoint away as well."""


class Connection:
    """One connection: `sa` is the module, `made` its connection, `name` what to call the store."""

    def __init__(self, address: str, *, dry_run: bool) -> None:
        self.name = shown(address)
        self.sa: Any = _driver("sqlalchemy")
        self._password: Optional[str] = None
        engine = self._engine(address)
        self.is_mysql = engine.dialect.name in ("mysql", "mariadb")
        if dry_run and not self.is_mysql:
            engine = engine.execution_options(postgresql_readonly=True)
        with self.told():
            self.made: Any = engine.connect()
            if dry_run and self.is_mysql:
                self.made.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")

    def _engine(self, address: str) -> Any:
        try:
            url = self.sa.engine.make_url(address)
        except self.sa.exc.ArgumentError:
            raise StoreError(f"{self.name} isn't an address of a database.") from None
        self._password = url.password
        driver = url.get_driver_name()
        options: Dict[str, Any] = {}
        if driver in _WITH_TIMEOUT:
            options = {key: value for key, value in _SECONDS.items() if key not in url.query}
        if driver in ("pymysql", "mysqldb"):
            # So that a row that is there already counts as 0 rows inserted.
            options["client_flag"] = 0
        try:
            engine = self.sa.create_engine(
                url,
                poolclass=self.sa.pool.NullPool,
                isolation_level="READ COMMITTED",
                hide_parameters=True,
                json_serializer=_text,
                json_deserializer=_text,
                connect_args=options,
            )
        except ModuleNotFoundError as error:
            raise _missing(error, self.name) from None
        except self.sa.exc.SQLAlchemyError as error:
            raise self.error(error) from None
        self.sa.event.listen(engine, "connect", _prepare_session(engine.dialect.name))
        return engine

    @contextmanager
    def told(self) -> Iterator[None]:
        """What the database says as a StoreError; Disturbed where it may work when repeated."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except self.sa.exc.SQLAlchemyError as error:
            raise self.error(error) from None

    def error(self, error: Exception) -> StoreError:
        told = f"{self.name}: {self.reason(error)}"
        if getattr(error, "connection_invalidated", False):
            return StoreError(told, "Pull again: it goes on from there.")
        return Disturbed(told, "Pull again.") if _is_disturbance(error) else StoreError(told)

    def is_refusal(self, error: Exception) -> bool:
        """True where the values of the rows are at fault."""
        exc = self.sa.exc
        refusals = (exc.DataError, exc.IntegrityError, exc.StatementError)
        others = (exc.OperationalError, exc.InternalError, exc.ProgrammingError)
        if _is_disturbance(error) or getattr(error, "connection_invalidated", False):
            return False
        # MySQL's failed CHECKs come as another kind of error.
        checked = _code(error) in (4025, 3819)
        return checked or isinstance(error, refusals) and not isinstance(error, others)

    def reason(self, error: Exception) -> str:
        """The first line of what the driver says."""
        cause = getattr(error, "orig", None) or error
        words = cause.args[-1] if cause.args else cause
        line = (str(words).strip().splitlines() or [type(cause).__name__])[0]
        return scrubbed(line, self._password)

    def close(self) -> None:
        self.made.close()


def _driver(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(error, "another database") from None


def _missing(error: ModuleNotFoundError, store: str) -> StoreError:
    package = PACKAGES.get(error.name or "", error.name)
    return StoreError(
        f"{store} needs the Python package {package}, which isn't installed.",
        f"uv pip install '{package}'",
    )


def _prepare_session(dialect: str) -> Any:
    setting = f"SET SESSION sql_mode = '{_STRICT}'"
    if dialect == "postgresql":
        setting = "SET lock_timeout = '60s'"

    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(setting)
        cursor.close()
        connection.commit()

    return prepare


def _is_disturbance(error: Exception) -> bool:
    code = _code(error)
    return code in _DISTURBED_MYSQL or code in _DISTURBED


def _code(error: Exception) -> object:
    """MySQL's number, PostgreSQL's SQLSTATE."""
    cause = getattr(error, "orig", None)
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, int):
        return first
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def _text(value: Any) -> str:
    """JSON is never looked into."""
    return value.decode() if isinstance(value, bytes) else str(value)
