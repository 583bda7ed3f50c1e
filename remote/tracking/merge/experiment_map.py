"""Which experiments of two stores are the same: what one side knows, told to the other."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Iterable, Iterator, List

from remote.errors import StoreError
from remote.tracking.merge import base as bases
from remote.tracking.merge.local_store import open_local_store
from remote.tracking.merge.plan_experiments import Link


def for_the_other_side(base: Path, store: Path) -> List[Link]:
    """The links of `base` as the other side sees them: what is ours is theirs.

    An experiment keeps the name that each side has given it.
    """
    if not base.is_file():
        return []
    with _attached(base, store, "") as database:
        rows = database.execute(
            "SELECT m.ours, m.ours_created, m.theirs, m.theirs_created, o.name"
            " FROM base.experiment_map m JOIN main.experiments o ON o.experiment_id = m.ours"
        )
        return [Link(*row) for row in rows]


def learn(base: Path, store: Path, links: Iterable[Link], *, source: str) -> None:
    """Has the next merge from `source` take linked experiments for the same.

    What is here now counts as what was last seen on both sides.
    """
    with _attached(base, store, source) as database:
        names = ", ".join(
            f'"{column}"' for column in bases.columns(database, "main", "experiments")
        )
        for link in links:
            row = (link.theirs, link.theirs_created, link.ours, link.ours_created, link.last_name)
            database.execute(
                "INSERT OR REPLACE INTO base.experiment_map SELECT ?, ?, ?, ?, ?"
                " WHERE NOT EXISTS (SELECT 1 FROM base.experiment_map WHERE theirs = ?"
                " AND theirs_created IS ? AND ours = ? AND ours_created IS ?)",
                (*row, *row[:4]),
            )
            database.execute(
                f"INSERT OR IGNORE INTO base.experiments ({names})"
                f" SELECT {names} FROM main.experiments WHERE experiment_id = ?",
                (link.ours,),
            )


@contextmanager
def _attached(base: Path, store: Path, source: str) -> Iterator[sqlite3.Connection]:
    """One transaction over both; with `source`, a base that is missing is made."""
    mode = "rwc" if source else "rw"
    base.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(open_local_store(store)) as local_store:
            local_store.database.execute(
                "ATTACH ? AS base", (f"{base.resolve().as_uri()}?mode={mode}",)
            )
            local_store.begin()
            try:
                if source:
                    bases.prepare(local_store.database, source)
                yield local_store.database
            except BaseException:
                local_store.rollback()
                raise
            local_store.commit()
    except sqlite3.Error as error:
        raise StoreError(f"The experiments of {store} can't be linked: {error}") from error
