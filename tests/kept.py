"""What several workers would make alike, such as stores that real programs write: made once, and kept
between runs in .demo/."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from remote.files import locked

KEPT = (Path(__file__).parents[1] / ".demo" / "kept").resolve()


def made_once(name: str, key: object, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled; `key` is all that decides on what is in it.

    Who writes to it takes a copy. What another key has made is removed.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    folder = KEPT / name / digest
    with locked(KEPT / f"{name}.lock"):
        if not (folder / ".ready").is_file():
            shutil.rmtree(folder.parent, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            (folder / ".ready").touch()
    return folder


def packages(bin: Path) -> list[str]:
    """Names and versions of what is installed beside these programs."""
    found = bin.parent.glob("lib/python*/site-packages/*.dist-info")
    return sorted(f"{path.parts[-3]} {path.name}" for path in found)


def move(folder: Path, before: str, after: str) -> None:
    """Have a copied store name the folder that it is for, where it names the one that it was made in."""
    words = [(before, after), (quote(before), quote(after))]
    for file in filter(Path.is_file, folder.rglob("*")):
        if file.suffix == ".db":
            _move_rows(file, words)
            continue
        data = file.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode()
            for old, new in words:
                text = text.replace(old, new)
            if text.encode() != data:
                file.write_text(text, "utf-8", newline="")


def _move_rows(store: Path, words: list[tuple[str, str]]) -> None:
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        columns = """SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
            WHERE t.type = 'table' AND (c.type LIKE '%CHAR%' OR c.type LIKE '%TEXT%')"""
        for table, column in database.execute(columns).fetchall():
            for old, new in words:
                change = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?1, ?2)'
                database.execute(f'{change} WHERE instr("{column}", ?1)', (old, new))
