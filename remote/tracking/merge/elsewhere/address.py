"""Addresses of databases (`postgresql://me:secret@host/mlflow`), as text. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from remote.errors import StoreError

PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "sqlalchemy": "sqlalchemy",
}
"""Which package has which driver."""

_DATABASES = ("postgresql", "mysql", "mariadb")
_SCHEME = re.compile(r"([A-Za-z0-9]+)(\+[A-Za-z0-9_]+)?://")
_USER = re.compile(r"(://[^:/?#]*):.*@")
_OPTION = re.compile(r"(?i)([?&][^=&]*pass[^=&]*)=[^&]*")


def shown(address: object) -> str:
    """The address without its password."""
    return _OPTION.sub(r"\1=***", _USER.sub(r"\1:***@", str(address)))


def sqlite_file(address: str) -> Optional[Path]:
    """The file of a `sqlite:///…` address, None for another database's. Raises StoreError."""
    scheme = _SCHEME.match(address)
    if scheme is None or scheme[1] not in ("sqlite", *_DATABASES):
        raise StoreError(
            f"{shown(address)} isn't the address of a database that can be merged into.",
            "sqlite:///FILE, postgresql://… or mysql+pymysql://…",
        )
    if scheme[1] != "sqlite":
        return None
    path = address[scheme.end() :].partition("?")[0]
    if not path.startswith("/") or path in ("/", "/:memory:") or path.startswith("/file:"):
        raise StoreError(f"{address} doesn't name a file.", "sqlite:///FILE")
    return Path(path[1:])


def scrubbed(text: str, password: Optional[str]) -> str:
    """What a driver says, in one line and without the password."""
    line = " ".join(text.strip().split())
    return shown(line.replace(password, "***") if password else line)
