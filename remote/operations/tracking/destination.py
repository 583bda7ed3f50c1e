"""Where records are merged into: the project's own store, or the one of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.errors import ConfigError

VARIABLE = "MLFLOW_TRACKING_URI"
STORE = "mlflow.db"
ARTIFACTS = "mlruns"

_USER = re.compile(r"(://[^:/?#]*):.*@")
_OPTION = re.compile(r"(?i)([?&][^=&]*pass[^=&]*)=[^&]*")


@dataclass(frozen=True)
class Destination:
    """`location` is a SQLite file, or the address of an MLflow server."""

    project: Project
    location: Path | str

    @property
    def is_own(self) -> bool:
        return self.location == self.project.root / STORE

    @property
    def is_server(self) -> bool:
        return isinstance(self.location, str)

    @property
    def artifacts(self) -> Path:
        """Where a local run of the project would put its artifacts."""
        return self.project.root / ARTIFACTS

    def base(self, source: str) -> Path:
        """The base of the merges of one source; `source` is a plain name."""
        mine = "" if self.is_own else "." + digest(str(self.location))
        return self.project.state / "targets" / f"{source}{mine}.base.db"

    def __str__(self) -> str:
        """Without its password."""
        return shown(self.location)


def digest(text: str) -> str:
    """Sixteen hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def destination(project: Project) -> Destination:
    """Raises ConfigError for a store that nothing can be merged into."""
    address = project.settings.get(VARIABLE, "")
    return Destination(project, _location(project, address))


def _location(project: Project, address: str) -> Path | str:
    if not address:
        return project.root / STORE
    if address.startswith("sqlite:///"):
        # As SQLAlchemy reads it: three slashes and a relative path, four and an absolute one.
        return project.root / address[len("sqlite:///") :]
    if re.match(r"https?://", address):
        return address
    if re.match(r"(postgresql|postgres|mysql|mariadb|mssql)(\+\w+)?://", address):
        raise ConfigError(
            f"Records aren't merged into a database ({VARIABLE}={shown(address)}).",
            "Serve it, mlflow server --backend-store-uri …, and set"
            f" {VARIABLE}=http://… to that server's address.",
        )
    raise ConfigError(
        f"Records can't be merged into {VARIABLE}={shown(address)}.",
        "It takes sqlite:///FILE and http(s)://…; unset, it is mlflow.db.",
    )


def shown(address: object) -> str:
    """The address without its password."""
    return _OPTION.sub(r"\1=***", _USER.sub(r"\1:***@", str(address)))
