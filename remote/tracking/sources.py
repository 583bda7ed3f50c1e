"""The kinds of MLflow stores that records are read from.

A kind is a class with the two methods of Source and a row in SOURCES. Whoever has a path asks
`source_of`, and needn't know which kinds there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Protocol, Sequence

from remote.tracking import delta, filestore
from remote.tracking.store import is_store


class Source(Protocol):
    """A kind of store on this machine's disk."""

    def recognise(self, path: Path) -> bool:
        """True for a store of this kind; False, not an error, for anything else."""

    def write_delta(
        self,
        path: Path,
        out: Path,
        known: Mapping[str, Any],
        *,
        roots: Sequence[str],
        registry: bool,
    ) -> Dict[str, Any]:
        """Write to `out` what changed since `known`, in the format of remote.tracking.delta.

        `known` is what the merge remembers of this source ({} is nothing), `roots` are the folders
        that its artifacts are fetched from. With `registry`, registered models are brought too,
        where the kind can. Answers with `bytes` and the numbers of rows. Raises StoreError.
        """


class SqliteFile:
    """One SQLite file, as MLflow 3 makes it where nothing else is configured."""

    def recognise(self, path: Path) -> bool:
        return is_store(path)

    def write_delta(
        self,
        path: Path,
        out: Path,
        known: Mapping[str, Any],
        *,
        roots: Sequence[str],
        registry: bool,
    ) -> Dict[str, Any]:
        return delta.write(path, out, known, roots=roots, registry=registry)


class FileStore:
    """A folder `mlruns` with meta.yaml files, the default of MLflow 1 and 2."""

    def recognise(self, path: Path) -> bool:
        return filestore.is_file_store(path)

    def write_delta(
        self,
        path: Path,
        out: Path,
        known: Mapping[str, Any],
        *,
        roots: Sequence[str],
        registry: bool,
    ) -> Dict[str, Any]:
        # Its registered models aren't read, asked for or not, and are named as left out.
        return filestore.write(path, out, known, roots=roots)


SOURCES: Dict[str, Source] = {"sqlite": SqliteFile(), "filestore": FileStore()}


def source_of(path: Path) -> Optional[Source]:
    """The kind of the store at a path; None where there is none."""
    return next((source for source in SOURCES.values() if source.recognise(path)), None)
