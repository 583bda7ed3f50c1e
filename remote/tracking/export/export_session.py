"""An export under way: both sides, the record between them, and what may be written to the server.

A field of a run or model is a name and a text: `name`, `status`, `tag:colour`, `param:lr`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import requests
from mlflow.exceptions import MlflowException

from remote.tracking.export.export_record import ExportOrder, ExportRecord, ExportSummary, Sent
from remote.tracking.export.server_client import reason, refuses_content

NAME, STATUS, TAG, PARAM = "name", "status", "tag:", "param:"
REFUSED = "refused:"
"""How states are called of what the server would not take: that value isn't tried again, another is."""
UNFINISHED = ("RUNNING", "SCHEDULED", "PENDING", "UNSPECIFIED")
_PAIRS = 50
"""Parameters or tags in one request, of at most 8000 characters each: it may have a megabyte."""
Writers = Mapping[str, Callable[[Sequence[Any]], object]]
"""By the beginning of fields' names, what sends such fields: pairs of the name's rest and the value."""


@dataclass
class Placed:
    """A run or model on both sides: MLflow's own objects, the server's as it was before we write."""

    kind: str
    id: str
    local: Any
    sent: Sent
    server: Any = None

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@dataclass
class Session:
    """`client` is an MlflowClient of the server, `store` MLflow's own reader of the local store.

    `experiments` are those of the server by their ids, with the deleted ones.
    """

    order: ExportOrder
    client: Any
    store: Any
    record: ExportRecord
    summary: ExportSummary
    experiments: Dict[str, Any] = field(default_factory=dict)

    def server_id(self, kind: str, identity: Optional[str]) -> str:
        """Empty where it isn't on the server."""
        return self.record.get(kind, identity or "").server_id

    def save(self, placed: Placed) -> None:
        self.record.put(placed.kind, placed.id, placed.sent)

    @contextmanager
    def refusable(self, what: str) -> Iterator[List[str]]:
        """Where the server refuses the content of a request in here, note that `what` is left out: it is
        in what is yielded then."""
        refused: List[str] = []
        try:
            yield refused
        except (MlflowException, requests.RequestException) as error:
            if not refuses_content(error):
                raise
            refused.append(what)
            self.summary.note(f"{what} is left out: {reason(error)}")

    def send_all(
        self, placed: Placed, items: Sequence[Any], at_once: int, send: Callable[[Any], object]
    ) -> List[Any]:
        """Send so many items in one request; where the server refuses one, each of them alone. Those
        that it refuses come back."""
        left = []
        for start in range(0, len(items), at_once):
            part = items[start : start + at_once]
            try:
                send(part)
            except MlflowException as error:
                if not refuses_content(error):
                    raise
                for item in part:
                    name = item[0] if isinstance(item, tuple) else getattr(item, "key", "an input")
                    with self.refusable(f"{name} of {placed}") as refused:
                        send([item])
                    left += [item] if refused else []
        return left

    def write_fields(
        self, placed: Placed, local: Mapping[str, str], server: Mapping[str, str], writers: Writers
    ) -> None:
        """Bring the server's fields up to date, as far as they are ours."""
        states = placed.sent.states
        for name in local:
            # One that goes on, on the server, gives way where we don't know how it came so.
            states.setdefault(name, [*UNFINISHED] if name == STATUS else [None])
        write, kept = changed_fields(local, server, states)
        write = [name for name in write if states.get(REFUSED + name) != [local[name]]]
        states.update({name: [*states[name], local[name]] for name in write})
        self.save(placed)
        for prefix, send in writers.items():
            names = [name for name in write if name.startswith(prefix)]
            pairs = [(name[len(prefix) :] or name, local[name]) for name in names]
            for pair in self.send_all(placed, pairs, _PAIRS, send):
                refused = names[pairs.index(pair)]
                states[REFUSED + refused] = [local[refused]]
        taken = [name for name in write if states.get(REFUSED + name) != [local[name]]]
        equal = [name for name in local if server.get(name) == local[name]]
        states.update({name: [local[name]] for name in (*taken, *equal)})
        self.save(placed)
        if kept:
            self.summary.note(f"kept the server's: {', '.join(kept)} of {placed}")


def changed_fields(
    local: Mapping[str, str],
    server: Mapping[str, str],
    states: Mapping[str, Sequence[Optional[str]]],
) -> Tuple[List[str], List[str]]:
    """The fields to write, and those whose value on the server isn't ours.

    A field is written where the server has what it may have because of us, which is nothing for one
    that was never sent, and is left alone where somebody changed or removed it there.
    """
    changed = [name for name in local if server.get(name) != local[name]]
    write = [name for name in changed if server.get(name) in states[name]]
    kept = [name for name in changed if name not in write and local[name] not in states[name]]
    return write, kept
