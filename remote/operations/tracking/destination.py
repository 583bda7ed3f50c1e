"""Where records are merged into: the project's own store, or the one of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.errors import ConfigError
from remote.tracking.store import is_present
from remote.tracking.store_address import DATABASE, SERVER, SQLITE, StoreAddress

VARIABLE = "MLFLOW_TRACKING_URI"
STORE = "mlflow.db"
ARTIFACTS = "mlruns"


@dataclass(frozen=True)
class Destination:
    """`location` is a SQLite file.

    `server` is the address of the MLflow server that the project's own store is then exported to.
    """

    project: Project
    location: Path
    server: str = ""

    @property
    def artifacts(self) -> Path:
        """Where a local run of the project would put its artifacts."""
        return self.project.root / ARTIFACTS

    def base(self, source: str) -> Path:
        """The base of the merges of one source; `source` is a plain name."""
        is_own = self.location == self.project.root / STORE
        mine = "" if is_own else "." + digest(str(self.location))
        return self.project.state / "targets" / f"{source}{mine}.base.db"


def digest(text: str) -> str:
    """Sixteen hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def destination(project: Project) -> Destination:
    """Raises ConfigError or StoreError for a store that nothing can be merged into.

    One that is missing is made when there is something to merge.
    """
    to = _asked(project)
    is_present(to.location)
    return to


def _asked(project: Project) -> Destination:
    text = project.settings.get(VARIABLE, "")
    if not text:
        return Destination(project, project.root / STORE)
    address = StoreAddress.parse(text, folder=project.root)
    if address.kind == SERVER:
        return Destination(project, project.root / STORE, server=text)
    if address.kind == DATABASE:
        raise ConfigError(
            f"Records aren't merged into a database ({VARIABLE}={address}).",
            "Serve it, mlflow server --backend-store-uri …, and set"
            f" {VARIABLE}=http://… to that server's address.",
        )
    if address.kind != SQLITE or address.path is None:
        raise ConfigError(
            f"Records can't be merged into {VARIABLE}={address}.",
            "It takes sqlite:///FILE and http(s)://…; unset, it is mlflow.db.",
        )
    return Destination(project, address.path)
