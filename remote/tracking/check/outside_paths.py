"""Paths that lead out of the project, and how they are mended. Pure."""

from __future__ import annotations

import posixpath
import shlex
from typing import Callable, Iterable, Mapping, Sequence

from remote.output import plural
from remote.tracking.check.finding import Change, Finding
from remote.tracking.check.path_rows import Record
from remote.tracking.check.path_status import PathStatus, State
from remote.tracking.check.project_dir import ProjectDir
from remote.tracking.check.tables import quoted

NAME = "paths"


def findings(statuses: Iterable[PathStatus], project: ProjectDir) -> list[Finding]:
    """One for each thing that is the matter, and each project that the paths come from."""
    groups: dict[tuple[State, str], list[PathStatus]] = {}
    for status in statuses:
        if status.state is not State.FINE:
            groups.setdefault((status.state, status.old), []).append(status)
    return [_DESCRIBE[state](group, old, project) for (state, old), group in groups.items()]


def _moved(group: Sequence[PathStatus], old: str, project: ProjectDir) -> Finding:
    summary = f"{_led(group)} to {old or 'places'}, and the files are in this project now"
    return Finding(NAME, summary, _items(group), changes=_changes(group), details=_details(group))


def _served(group: Sequence[PathStatus], old: str, project: ProjectDir) -> Finding:
    summary = f"{_led(group)} to mlflow-artifacts:/, which a client without a server can't open"
    return Finding(NAME, summary, _items(group), changes=_changes(group), details=_details(group))


def _elsewhere(group: Sequence[PathStatus], old: str, project: ProjectDir) -> Finding:
    summary = f"{_led(group)} out of this project, where their files are"
    step = _copy(group, old, project) if old else _bring(group, "Move")
    return Finding(NAME, summary, _led_to(group), step=step, mend_after=True)


def _nowhere(group: Sequence[PathStatus], old: str, project: ProjectDir) -> Finding:
    summary = f"{_led(group)} out of this project, where nothing is"
    step = f"Bring the files of {old} into {project.mlruns}" if old else _bring(group, "Bring")
    return Finding(NAME, summary, _led_to(group), step=step, mend_after=True)


def _unknown(group: Sequence[PathStatus], old: str, project: ProjectDir) -> Finding:
    summary = f"{_led(group)} to mlflow-artifacts:/, and what that server keeps isn't here"
    step = "Look at them through the server that they were logged to."
    return Finding(NAME, summary, _led_to(group), step=step, note=True)


_DESCRIBE: Mapping[State, Callable[[Sequence[PathStatus], str, ProjectDir], Finding]] = {
    State.MOVED: _moved,
    State.SERVED: _served,
    State.ELSEWHERE: _elsewhere,
    State.NOWHERE: _nowhere,
    State.UNKNOWN: _unknown,
}


def _led(group: Sequence[PathStatus]) -> str:
    return f"{plural(len(group), 'path')} {'leads' if len(group) == 1 else 'lead'}"


def _items(group: Sequence[PathStatus]) -> tuple[str, ...]:
    """One name may stand for several paths."""
    return tuple(dict.fromkeys(status.record.label for status in group))


def _led_to(group: Sequence[PathStatus]) -> tuple[str, ...]:
    return tuple(f"{status.record.label} ({status.record.text})" for status in group)


def _details(group: Sequence[PathStatus]) -> tuple[str, ...]:
    records = ((status.record, status.written) for status in group)
    return tuple(f"{record.label}: {record.text} -> {written}" for record, written in records)


def _copy(group: Sequence[PathStatus], old: str, project: ProjectDir) -> str:
    """The command that brings the folders of artifacts which the paths lie in."""
    names = {posixpath.relpath(str(status.path), old).split("/")[0] for status in group}
    pairs = ((f"{old.rstrip('/')}/{name}/", f"{project.at(name)}/") for name in sorted(names))
    return " && ".join(shlex.join(["rsync", "-a", "--ignore-existing", *pair]) for pair in pairs)


def _bring(group: Sequence[PathStatus], verb: str) -> str:
    standards = (status.record.standard for status in group)
    example = next(filter(None, standards), "mlruns")
    return f"{verb} the files to where MLflow keeps them here, such as {example}"


def _changes(group: Sequence[PathStatus]) -> tuple[Change, ...]:
    return tuple(_change(status.record, status.written) for status in group)


def _change(record: Record, path: str) -> Change:
    table, column = quoted(record.table), quoted(record.column)
    return Change(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (path, record.rowid))
