"""What a check found, as data: what is wrong, and the statements that mend it."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

from remote.output import plural
from remote.tracking.check.path_status import PathStatus, State
from remote.tracking.check.project_dir import ProjectDir


@dataclass(frozen=True)
class Change:
    """One statement that mends something, and its values."""

    query: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A group of problems of one kind.

    `summary` is one line with the count, `items` name every single one. `step` is what the user has to
    do; `changes` is what mending does, `mend_after` that there is something to mend after `step`.
    """

    name: str
    summary: str
    items: tuple[str, ...] = ()
    step: str = ""
    changes: tuple[Change, ...] = ()
    mend_after: bool = False
    note: bool = False
    """Worth knowing, and nothing wrong with the store."""
    details: tuple[str, ...] = ()
    """The items at length, where their names say too little."""


_LEADS: Mapping[State, str] = {
    State.MOVED: "to {old}, and the files are in this project now",
    State.SERVED: "to mlflow-artifacts:/, which a client without a server can't open",
    State.ELSEWHERE: "out of this project, where their files are",
    State.NOWHERE: "out of this project, where nothing is",
    State.UNKNOWN: "to mlflow-artifacts:/, and what that server keeps isn't here",
}


def path_findings(statuses: Iterable[PathStatus], project: ProjectDir) -> list[Finding]:
    """One for each thing that is the matter, and each project that the paths come from."""
    groups: dict[tuple[State, str], list[PathStatus]] = {}
    for status in statuses:
        if status.state is not State.FINE:
            groups.setdefault((status.state, status.old), []).append(status)
    return [_path_finding(state, old, group, project) for (state, old), group in groups.items()]


def _path_finding(
    state: State, old: str, group: Sequence[PathStatus], project: ProjectDir
) -> Finding:
    verb = "leads" if len(group) == 1 else "lead"
    summary = f"{plural(len(group), 'path')} {verb} {_LEADS[state].format(old=old or 'places')}"
    if state in (State.MOVED, State.SERVED):
        # One name may stand for several paths.
        labels = tuple(dict.fromkeys(status.record.label for status in group))
        changes = tuple(map(_change, group))
        return Finding("paths", summary, labels, changes=changes, details=_details(group))
    items = tuple(f"{status.record.label} ({status.record.text})" for status in group)
    step = _step(state, old, group, project)
    is_note = state is State.UNKNOWN
    return Finding("paths", summary, items, step=step, mend_after=not is_note, note=is_note)


def _details(group: Sequence[PathStatus]) -> tuple[str, ...]:
    records = ((status.record, status.written) for status in group)
    return tuple(f"{record.label}: {record.text} -> {written}" for record, written in records)


def _change(status: PathStatus) -> Change:
    record = status.record
    query = f'UPDATE "{record.table}" SET "{record.column}" = ? WHERE rowid = ?'
    return Change(query, (status.written, record.rowid))


def _step(state: State, old: str, group: Sequence[PathStatus], project: ProjectDir) -> str:
    """What the user does about files that aren't in the project."""
    if state is State.UNKNOWN:
        return "Look at them through the server that they were logged to."
    if old and state is State.ELSEWHERE:
        return _copy(group, old, project)
    if old:
        return f"Bring the files of {old} into {project.mlruns}"
    verb = "Move" if state is State.ELSEWHERE else "Bring"
    example = next(filter(None, (status.record.standard for status in group)), "mlruns")
    return f"{verb} the files to where MLflow keeps them here, such as {example}"


def _copy(group: Sequence[PathStatus], old: str, project: ProjectDir) -> str:
    """The command that brings the folders of artifacts which the paths lie in."""
    names = {posixpath.relpath(str(status.path), old).split("/")[0] for status in group}
    pairs = ((f"{old.rstrip('/')}/{name}/", f"{project.at(name)}/") for name in sorted(names))
    return " && ".join(shlex.join(["rsync", "-a", "--ignore-existing", *pair]) for pair in pairs)
