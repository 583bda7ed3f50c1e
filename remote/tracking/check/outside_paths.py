"""Paths that lead out of the project, and how they are mended. Pure."""

from __future__ import annotations

import posixpath
import shlex
from typing import Callable, Iterable, Mapping, Sequence

from remote.output import plural
from remote.tracking.check.finding import Change, Finding
from remote.tracking.check.path_status import State, Verdict
from remote.tracking.check.project_dir import Place
from remote.tracking.check.table_info import named

NAME = "paths"


def findings(verdicts: Iterable[Verdict], place: Place) -> list[Finding]:
    """One for each thing that is the matter, and each project that the paths come from."""
    groups: dict[tuple[State, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.state is not State.FINE:
            groups.setdefault((verdict.state, verdict.old), []).append(verdict)
    return [_TELL[state](group, old, place) for (state, old), group in groups.items()]


def _moved(group: Sequence[Verdict], old: str, place: Place) -> Finding:
    told = f"{_led(group)} to {old or 'places'}, and the files are in this project now"
    return Finding(NAME, told, _items(group), changes=_changes(group), details=_details(group))


def _served(group: Sequence[Verdict], old: str, place: Place) -> Finding:
    told = f"{_led(group)} to mlflow-artifacts:/, which a client without a server can't open"
    return Finding(NAME, told, _items(group), changes=_changes(group), details=_details(group))


def _elsewhere(group: Sequence[Verdict], old: str, place: Place) -> Finding:
    told = f"{_led(group)} out of this project, where their files are"
    step = _copy(group, old, place) if old else _bring(group, "Move")
    return Finding(NAME, told, _led_to(group), step=step, mend_after=True)


def _nowhere(group: Sequence[Verdict], old: str, place: Place) -> Finding:
    told = f"{_led(group)} out of this project, where nothing is"
    step = f"Bring the files of {old} into {place.runs}" if old else _bring(group, "Bring")
    return Finding(NAME, told, _led_to(group), step=step, mend_after=True)


def _unknown(group: Sequence[Verdict], old: str, place: Place) -> Finding:
    told = f"{_led(group)} to mlflow-artifacts:/, and what that server keeps isn't here"
    step = "Look at them through the server that they were logged to."
    return Finding(NAME, told, _led_to(group), step=step, note=True)


_TELL: Mapping[State, Callable[[Sequence[Verdict], str, Place], Finding]] = {
    State.MOVED: _moved,
    State.SERVED: _served,
    State.ELSEWHERE: _elsewhere,
    State.NOWHERE: _nowhere,
    State.UNKNOWN: _unknown,
}


def _led(group: Sequence[Verdict]) -> str:
    return f"{plural(len(group), 'path')} {'leads' if len(group) == 1 else 'lead'}"


def _items(group: Sequence[Verdict]) -> tuple[str, ...]:
    """One name may stand for several paths."""
    return tuple(dict.fromkeys(verdict.record.label for verdict in group))


def _led_to(group: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(f"{each.record.label} ({each.record.text})" for each in group)


def _details(group: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(f"{each.record.label}: {each.record.text} -> {each.written}" for each in group)


def _copy(group: Sequence[Verdict], old: str, place: Place) -> str:
    """The command that brings the folders of artifacts which the paths lie in."""
    names = {posixpath.relpath(str(each.path), old).split("/")[0] for each in group}
    each = ((f"{old.rstrip('/')}/{name}/", f"{place.at(name)}/") for name in sorted(names))
    return " && ".join(shlex.join(["rsync", "-a", "--ignore-existing", *pair]) for pair in each)


def _bring(group: Sequence[Verdict], verb: str) -> str:
    example = next((each.record.standard for each in group if each.record.standard), "mlruns")
    return f"{verb} the files to where MLflow keeps them here, such as {example}"


def _changes(group: Sequence[Verdict]) -> tuple[Change, ...]:
    return tuple(
        Change(
            f'UPDATE {named(each.record.table)} SET "{each.record.column}" = ? WHERE rowid = ?',
            (each.written, each.record.rowid),
        )
        for each in group
    )
