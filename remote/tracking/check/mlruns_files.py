"""What lies in `mlruns`: files of a file store, and files that no record names."""

from __future__ import annotations

import os
from typing import Iterable, Iterator, Sequence

from remote.output import plural, size
from remote.tracking.check.artifact_uri import is_below
from remote.tracking.check.finding import Finding
from remote.tracking.check.path_status import Verdict
from remote.tracking.check.project_dir import Disk, Place

META = "meta.yaml"


def file_store(place: Place) -> list[Finding]:
    """What makes plain `mlflow ui` choose `mlruns` over the database, and refuse to start."""
    found = [
        entry.name
        for entry in _entries(place.runs)
        if entry.name.isdigit() and os.path.lexists(os.path.join(entry.path, META))
    ]
    if not found:
        return []
    count = plural(len(found), "experiment")
    told = f"mlruns holds a file store ({count}), for which mlflow ui passes the database over"
    step = "Bring its runs into the database (inv mlflow-merge mlruns), then move these files away."
    return [Finding("file store", told, tuple(f"mlruns/{name}/{META}" for name in found), step)]


def strays(place: Place, verdicts: Iterable[Verdict], disk: Disk) -> list[Finding]:
    """Files that no record names, by the topmost folder that is all theirs."""
    kept, parents = _kept(place, verdicts)
    files, total, items = 0, 0, []
    for path in _unnamed(place.runs, kept, parents):
        count, amount = disk.size(path)
        if count:
            files, total = files + count, total + amount
            items.append(f"{os.path.relpath(path, place.folder)} ({size(amount)})")
    if not items:
        return []
    told = f"{plural(files, 'file')} in mlruns, {size(total)}, that no record names"
    step = "Look at them; what nobody needs can be deleted."
    return [Finding("files", told, tuple(items), step, note=True)]


def _kept(place: Place, verdicts: Iterable[Verdict]) -> tuple[set[str], set[str]]:
    """The folders that records name, and all that they lie in."""
    kept, parents = set(), {place.runs}
    for verdict in verdicts:
        for path in (verdict.path or "", *verdict.candidates):
            path = place.own(path) or ""
            if not is_below(path, place.runs):
                continue
            if verdict.record.is_root:
                parents.add(path)
            else:
                kept.add(os.path.dirname(path) if path.endswith("/artifacts") else path)
    for path in [*kept, *parents]:
        while is_below(path, place.runs) and path != place.runs:
            path = os.path.dirname(path)
            parents.add(path)
    return kept, parents


def _unnamed(folder: str, kept: set[str], parents: set[str]) -> Iterator[str]:
    for entry in _entries(folder):
        is_file_store = os.path.lexists(os.path.join(entry.path, META))
        if entry.path in kept or is_file_store:
            continue
        if entry.path in parents and entry.is_dir():
            yield from _unnamed(entry.path, kept, parents)
        else:
            yield entry.path


def _entries(folder: str) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []
