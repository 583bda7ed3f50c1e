"""The kinds of MLflow stores that records are read from.

Whoever has a path asks `source_of`, and needn't know which kinds there are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional

from remote.tracking import delta, filestore
from remote.tracking.store import is_store

#: Seconds that a look at a file waits for who has locked it.
PATIENCE = 5.0


class Source(NamedTuple):
    """A kind of store on this machine's disk.

    `recognise(path)` is False, not an error, for anything else than a store of this kind; it raises
    UnusableStore where that can't be told.

    `write_delta(path, out, known, *, roots, registry)` writes to `out` what changed since `known`,
    in the format of remote.tracking.delta. `known` is what the merge remembers of this source ({} is
    nothing), `roots` are the folders that its artifacts are fetched from. With `registry`,
    registered models are brought too, where the kind can. Raises StoreError.
    """

    recognise: Callable[[Path], bool]
    write_delta: Callable[..., None]


SOURCES: Dict[str, Source] = {
    # One SQLite file, as MLflow 3 makes it where nothing else is configured.
    "sqlite": Source(partial(is_store, patience=PATIENCE), delta.write),
    # A folder `mlruns` with meta.yaml files, the default of MLflow 1 and 2.
    "filestore": Source(filestore.is_file_store, filestore.write),
}


def source_of(path: Path) -> Optional[Source]:
    """The kind of the store at a path; None where there is none. Raises UnusableStore."""
    return next((source for source in SOURCES.values() if source.recognise(path)), None)
