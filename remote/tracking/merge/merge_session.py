"""One merge while it runs: the store with base and delta beside it, and what was found so far."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from remote.errors import StoreError
from remote.job.fields import NAME, VERY_MANY, any_json, integer, list_of, names, nested, text
from remote.job.messages.records import ArtifactFolder, RefusedRecord
from remote.job.struct import Struct
from remote.tracking import schema
from remote.tracking import store as stores
from remote.tracking.delta import FORMAT
from remote.tracking.merge import base as bases
from remote.tracking.merge.artifact_paths import PLACES, lies_elsewhere, web_link

_TURN = 1.5  # seconds
"""How long a merge writes before it lets others write: their logging gives up after five seconds."""

_PAUSE = 0.12  # seconds
"""A writer that waits for SQLite's lock looks again after 0.1 seconds at the latest
(sqliteDefaultBusyCallback)."""


class Conflict(Struct):
    """A value that was changed on both sides: ours was kept. None: the row was removed there."""

    table: str = text(NAME)
    key: str = text(NAME)
    column: str = text(NAME)
    ours: object = any_json(VERY_MANY)
    theirs: object = any_json(VERY_MANY)

    @classmethod
    def of(
        cls, table: schema.Table, key: Sequence[object], column: str, ours: object, theirs: object
    ) -> Conflict:
        """`key` are the values of the table's key; what the row belongs to is named first."""
        named = sorted(zip(table.key, key), key=lambda pair: pair[0] != table.owner_column)
        return cls(table.name, "/".join(str(value) for _, value in named), column, ours, theirs)


_META: Dict[str, type] = {
    "roots": list,
    "places": list,
    "left_out": list,
    "watermarks": dict,
    "blocks": dict,
    "since": str,
    "mark": str,
}
"""What a delta says of itself; the first is needed, whatever is in it, the other lists are of texts."""


def _read_meta(delta: Path, rows: Iterable[Tuple[Any, Any]]) -> Dict[str, Any]:
    try:
        meta = {key: json.loads(value) for key, value in rows}
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{delta} can't be read: what it says of itself is no JSON.") from error
    for name, kind in _META.items():
        value = meta.get(name)
        is_fit = isinstance(value, kind) or (value is None and name != "roots")
        if isinstance(value, list) and name != "roots":
            is_fit = is_fit and all(isinstance(item, str) for item in value)
        if not is_fit and meta.get("format") is not None:
            raise StoreError(f"{delta} can't be read: its {name!r} is no {kind.__name__}.")
    return meta


_COUNT = integer(0, 1 << 62, default=0)


class BinnedRun(Struct):
    """A new run whose experiment was deleted here, so that nobody sees it."""

    run: str = text(NAME)
    experiment: str = text(NAME)
    experiment_id: int = integer(0, 1 << 63)


class MergeSummary(Struct):
    """What a merge did."""

    new_runs: int = _COUNT
    grown_runs: int = _COUNT
    new_experiments: int = _COUNT
    new_models: int = _COUNT
    new_traces: int = _COUNT
    new_versions: int = _COUNT
    """Versions of registered models."""
    metric_rows: int = _COUNT
    conflicts: Tuple[Conflict, ...] = list_of(nested(Conflict), VERY_MANY, default=())
    """Those that this merge found; what was found before is in `conflicts` of the base."""
    refused: Tuple[RefusedRecord, ...] = list_of(nested(RefusedRecord), VERY_MANY, default=())
    left_out: Tuple[str, ...] = names(default=())
    """Tables (`issues`) and columns (`runs.colour`) that have content there and no place here."""
    deleted_there: Tuple[str, ...] = names(default=())
    """Runs that were found deleted on the target; they are kept."""
    binned: Tuple[BinnedRun, ...] = list_of(nested(BinnedRun), VERY_MANY, default=())
    run_ids: Tuple[str, ...] = names(default=())
    """The new and the grown."""
    artifacts: Tuple[ArtifactFolder, ...] = list_of(nested(ArtifactFolder), VERY_MANY, default=())
    """What to fetch: new, changed or still running, and what `mark_fetched` wasn't told of before."""


def total(one: MergeSummary, other: MergeSummary) -> MergeSummary:
    """What two merges did together: numbers add up, lists follow each other."""
    return MergeSummary(**{name: value + vars(other)[name] for name, value in vars(one).items()})


class LocalStore:
    """The SQLite file that is merged into, and whose turn it is to write in it."""

    def __init__(self, file: Path, *, dry_run: bool = False) -> None:
        """With `dry_run` a copy of it, which goes when it is closed. Raises StoreError."""
        stores.refuse_foreign(file)
        self._turn = 0.0
        """When the merge began to write, one transaction after the other."""
        self._left = None if dry_run else file
        """The store beside which a killed merge may have left something."""
        if dry_run:
            # A file of SQLite's own, without a name. One long transaction that is rolled back would
            # need none, but would keep everybody from logging for as long as the merge takes.
            self.database = sqlite3.connect("", uri=True, isolation_level=None)
            with closing(stores.connect_read_only(file)) as source:
                source.backup(self.database)
        else:
            url, timeout = file.resolve().as_uri() + "?mode=rw", stores.BUSY_TIMEOUT
            self.database = sqlite3.connect(url, uri=True, timeout=timeout, isolation_level=None)
            self.database.execute("PRAGMA cache_size = -98304")  # KiB
        self.database.text_factory = stores.readable_text

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Lock the store against other writers, and commit store and base at once, or undo all.

        Now and then it is the other writers' turn first. SQLite makes the commit atomic with a
        super-journal; where the store is in WAL mode, it commits the store first. A base that lags
        behind is repaired by the next pull.
        """
        if time.monotonic() - self._turn > _TURN:
            if self._turn:
                time.sleep(_PAUSE)
            self._turn = time.monotonic()
        self.database.execute("BEGIN IMMEDIATE")
        try:
            if self._left:
                stores.drop_super_journals(self._left)
                self._left = None
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise


@contextmanager
def store_with_base(
    store: Path, base: Path, *, source: str = ""
) -> Iterator[Optional[sqlite3.Connection]]:
    """One transaction over both; None where there is no usable base. With `source` one is made."""
    try:
        local_store = LocalStore(store)
        with closing(local_store.database) as database:
            if not bases.make_usable(base, bases.store_identity(database)) and not source:
                yield None
                return
            bases.attach(database, base)
            with local_store.transaction():
                if source:
                    bases.prepare(database, source)
                yield database
    except sqlite3.Error as error:
        raise stores.unusable(store, error) from error


class MergeSession(LocalStore):
    """A store while `delta` is merged into it, and what was found so far."""

    def __init__(self, store: Path, artifact_root: Path, source: str, *, dry_run: bool) -> None:
        super().__init__(store, dry_run=dry_run)
        self.artifact_root = artifact_root
        self.source = source
        self.agreed: Optional[bool] = None
        """Of a delta that is given: whether who made it has seen what is here."""
        self.owned: Optional[Iterable[Tuple[str, object]]] = None
        """(kind, id) of what is the source's beside what the base knows; None where all may be."""
        self.own_base: Optional[Path] = None
        """The base beside which it is noted what is the source's; None where that isn't."""
        self.progress: Optional[Callable[[int, int], None]] = None
        self.done = 0
        self.total = 0
        self.meta: Dict[str, Any] = {}
        """What the delta says of itself."""
        self.roots: List[str] = []
        self.places: List[str] = []
        """The folders below the roots that artifacts may lie in."""
        self.shared: Dict[str, List[str]] = {}
        """Of each table that both sides have: the columns that both have."""
        self.left_out: List[str] = []
        self.conflicts: List[Conflict] = []
        self.refused: List[RefusedRecord] = []
        self.new: Counter[str] = Counter()
        """How many rows of each kind's own table came in."""
        self.first_seen: Set[object] = set()
        """The runs that come for the first time."""
        self.metric_rows = 0
        self.deleted_there: List[str] = []
        self.accepted_again = False
        """Something that was refused before is here now: its older rows were never sent."""

    def attach(self, base: Path, delta: Path) -> None:
        """Take `base` (made if missing) and `delta` beside the store; raises StoreError."""
        # The delta comes from another machine: nothing in its schema may call functions.
        self.database.execute("PRAGMA trusted_schema = OFF")
        self.database.create_function("lies_elsewhere", 1, lies_elsewhere)
        self.database.create_function("web_link", 1, web_link)
        bases.attach(self.database, base)
        self.database.execute("ATTACH ? AS delta", (delta.resolve().as_uri() + "?mode=rw",))
        # Whatever breaks off, the delta is asked for again: no disk is waited for.
        self.database.execute("PRAGMA delta.journal_mode = MEMORY")
        self.database.execute("PRAGMA delta.synchronous = OFF")
        tables = ("meta", "entities", "gone", "experiments", "runs")
        if not all(stores.columns_of(self.database, "delta", name) for name in tables):
            raise StoreError(f"{delta} isn't a delta of an MLflow store.")
        rows = self.database.execute("SELECT key, value FROM delta.meta")
        self.meta = _read_meta(delta, rows)
        if self.meta.get("format") is None:
            raise StoreError(f"{delta} isn't a whole delta.", "Pull again.")
        if self.meta["format"] != FORMAT:
            raise StoreError(f"{delta} was written by another version of the toolkit.")
        roots = self.meta["roots"]
        self.roots = [root for root in roots if isinstance(root, str) and root.startswith("/")]
        self.places = [*PLACES, *(self.meta.get("places") or [])]
        self.left_out = list(self.meta.get("left_out") or [])
        (self.total,) = self.ids("SELECT count(*) FROM delta.entities")
        sent = set(stores.tables_of(self.database, "delta"))
        for table in schema.TABLES:
            if table.name in sent:
                self._compare(table)

    def _compare(self, table: schema.Table) -> None:
        """Learn which columns of a delta's table both sides have, and count what is to do."""
        theirs = stores.columns_of(self.database, "delta", table.name)
        ours = stores.columns_of(self.database, "main", table.name)
        carried = {
            *stores.columns_of(self.database, "main", table.name, computed=True),
            "workspace",
        }
        extra = sorted(set(theirs) - carried)
        has_content = {
            f"{table.name}.{name}": f"{stores.quoted(name)} IS NOT NULL" for name in extra
        }
        if not set(table.key) <= set(theirs) & set(ours):
            has_content = {table.name: "1"}
        else:
            self.shared[table.name] = [name for name in ours if name in theirs]
            if table.rule != schema.APPEND:
                # Rows are looked up by what they hang on, some things at a time.
                self.database.execute(
                    f'CREATE INDEX IF NOT EXISTS delta."of_{table.name}"'
                    f' ON "{table.name}" ("{table.owner_column}")'
                )
            elif table.name != "datasets":
                self.total += self.ids(f'SELECT count(*) FROM delta."{table.name}"')[0]
        for name, condition in has_content.items():
            if self.ids(f'SELECT 1 FROM delta."{table.name}" WHERE {condition} LIMIT 1'):
                self.left_out.append(name)

    def advance(self, amount: int) -> None:
        self.done += amount
        if self.progress:
            self.progress(self.done, self.total)

    def keep_ours(self, conflict: Conflict, key: Sequence[object], theirs: object = None) -> None:
        """Tell of a conflict, and have the base remember it until the user has settled it.

        What is there is the base's row; `theirs` where that says it not.
        """
        self.conflicts.append(conflict)
        self.database.execute(
            "INSERT OR REPLACE INTO base.conflict VALUES (?, ?, ?, ?)",
            (conflict.table, json.dumps(list(key)), conflict.column, theirs),
        )

    def refuse(self, kind: str, identity: object, reason: str) -> None:
        self.refused.append(RefusedRecord(kind, str(identity), reason))

    def tables(self, tables: Sequence[schema.Table]) -> List[schema.Table]:
        """Those that both sides have."""
        return [table for table in tables if table.name in self.shared]

    def ids(self, query: str) -> List[Any]:
        """The first column of what `query` finds."""
        return [row[0] for row in self.database.execute(query)]

    def last_row(self, table: str) -> int:
        return int(self.ids(f"SELECT coalesce(max(rowid), 0) FROM {table}")[0])
