"""One upload while it runs: the server, the source, the base, and what was found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from remote.tracking import schema
from remote.tracking.merge.merge_session import Progress
from remote.tracking.merge.summary import Conflict, Refusal
from remote.upload.answers import Rejected
from remote.upload.base import Base
from remote.upload.server import Server
from remote.upload.source import Source

Item = TypeVar("Item")

_DELETED = "it is deleted on the server; restored there, it comes up to date"
_ROWS: Mapping[str, Mapping[str, str]] = {
    schema.EXPERIMENT: {"": "experiments", "tag": "experiment_tags"},
    schema.RUN: {"": "runs", "tag": "tags", "param": "params"},
    schema.MODEL: {"": "logged_models", "tag": "logged_model_tags", "param": "logged_model_params"},
    schema.TRACE: {"": "trace_info", "tag": "trace_tags", "assessment": "assessments"},
}
_COLUMNS = {"end": "status", "lifecycle": "lifecycle_stage"}


@dataclass
class Session:
    server: Server
    source: Source
    base: Base
    name: str
    """Of the source."""
    progress: Progress | None = None
    first: bool = False
    """Nothing is known of earlier uploads: all that is on the server is listed at once."""
    roots: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """The folders below the roots that artifacts may lie in."""
    experiments: dict[int, str] = field(default_factory=dict)
    """Ids there -> here, of those that can be written to."""
    listed: list[str] = field(default_factory=list)
    """The ids of all experiments of the server."""
    blocked: set[tuple[str, str]] = field(default_factory=set)
    """(kind, id) of what is deleted on the server, so that nothing can be added."""
    later: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Changes of runs and models that wait until everything else of them is written."""
    conflicts: list[Conflict] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    not_carried: dict[str, None] = field(default_factory=dict)
    """Tables that this server has no place for."""
    new: dict[str, int] = field(default_factory=dict)
    new_runs: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    metric_rows: int = 0
    deleted_there: list[str] = field(default_factory=list)
    accepted_again: bool = False
    """Something that was refused before is there now: its older rows were never sent."""
    done: int = 0
    total: int = 0

    def advance(self, amount: int) -> None:
        self.done += amount
        if self.progress:
            self.progress(self.done, self.total)

    def made(self, kind: str, identity: str) -> None:
        self.new[kind] = self.new.get(kind, 0) + 1
        if kind == schema.RUN:
            self.new_runs.add(identity)

    def note(self, text: str) -> None:
        self.notes[text] = None

    def refuse(self, kind: str, identity: object, reason: str) -> None:
        refusal = Refusal(kind, str(identity), reason)
        if refusal not in self.refused:
            self.refused.append(refusal)

    def block(self, kind: str, identity: str) -> None:
        self.blocked.add((kind, identity))
        self.refuse(kind, identity, _DELETED)

    def conflict(self, kind: str, identity: str, name: str, ours: Any, theirs: Any) -> None:
        """`name` is a field, such as `end` or `tag:colour`."""
        part, colon, key = name.partition(":")
        if colon:
            row, column = f"{identity}/{key}", "value"
        else:
            part, row, column = "", identity, _COLUMNS.get(name, name)
        if name == "end":
            ours, theirs = ours[0], theirs[0]
        self.conflicts.append(Conflict(_ROWS[kind][part], row, column, ours, theirs))


def send_all(
    items: list[Item],
    send: Callable[[list[Item]], object],
    rejected: Callable[[Item, Rejected], object],
) -> None:
    """Sends them at once; of those that the server doesn't take so, each is found and told."""
    try:
        if items:
            send(items)
    except Rejected as error:
        if not error.is_about_content:
            raise
        if len(items) == 1:
            rejected(items[0], error)
            return
        half = len(items) // 2
        send_all(items[:half], send, rejected)
        send_all(items[half:], send, rejected)
