"""Migrations of deltas by a Python that has imported MLflow: importing takes longer than migrating."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking import migration
from remote.tracking.store import run_mlflow
from tests import warm_inv

#: What a migration's Python imports.
IMPORTS = (
    "alembic.command",
    "mlflow.store.db.utils",
    "mlflow.store.tracking.sqlalchemy_store",
)


@contextmanager
def warm_migrations() -> Iterator[None]:
    """For as long as this lasts, the Python that migrates here is a copy of one that is there already.

    With another MLflow it is started, as all are elsewhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "run_mlflow", _run)
        yield


def _run(python: str, argv: list[str], *, cwd: Path, env: Mapping[str, str], failure: str) -> bool:
    if python != sys.executable or not warm_inv.can_become(env):
        return run_mlflow(python, argv, cwd=cwd, env=env, failure=failure)
    code, _, said = warm_inv.run(argv, cwd, env, IMPORTS)
    if code:
        raise StoreError(f"{failure}: {''.join(said.strip().splitlines()[-1:])}", python)
    return True
