"""An export under way: both sides, the record between them, and what there is to say.

A field of a run, model or experiment is a name and a text: `name`, `status`, `tag:colour`,
`param:lr`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

from remote.tracking.export.export_record import ExportRecord, Written
from remote.tracking.export.pending import ExportOrder
from remote.tracking.export.server_client import reason, refuses_content

NAME, STATUS, TAG, PARAM = "name", "status", "tag:", "param:"


@dataclass
class ExportSummary:
    """Counts of what was sent; `notes` are lines for the user."""

    server: str = ""
    new: Dict[str, int] = field(default_factory=dict)
    """Created on the server, by kind."""
    grown_runs: int = 0
    """Runs that were on the server before and were brought up to date."""
    metric_rows: int = 0
    files: int = 0
    bytes: int = 0
    notes: List[str] = field(default_factory=list)
    stays_here: List[str] = field(default_factory=list)
    """Records of kinds that aren't exported, with their number: `12 traces`."""

    def note(self, text: str) -> None:
        """Add a line, once."""
        if text not in self.notes:
            self.notes.append(text)


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

    def write_fields(
        self,
        kind: str,
        identity: str,
        local: Mapping[str, str],
        server: Mapping[str, str],
        write: Callable[[Mapping[str, str]], None],
        remove: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Bring the server's fields up to date; `write` gets those to set, `remove` one to delete."""
        changes = field_changes(local, server, self.record.written(kind, identity))
        self.record.announce(kind, identity, changes.write)
        if changes.write:
            write(changes.write)
        for name in changes.remove:
            remove(name)
        agreed = {name: local[name] for name in local if server.get(name) == local[name]}
        self.record.settle(kind, identity, {**agreed, **changes.write}, changes.remove)
        if changes.kept:
            self.summary.note(f"kept the server's: {', '.join(changes.kept)} of {kind} {identity}")

    @contextmanager
    def refusable(self, what: str) -> Iterator[None]:
        """Where the server refuses the content of a request in here, note that `what` is left out."""
        import requests
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, requests.RequestException) as error:
            if not refuses_content(error):
                raise
            self.summary.note(f"{what} is left out: {reason(error)}")

    def send_all(
        self,
        items: Sequence[Any],
        at_once: int,
        send: Callable[[Sequence[Any]], object],
        describe: Callable[[Any], str],
    ) -> None:
        """Send so many items in one request; where the server refuses one, each of them alone."""
        from mlflow.exceptions import MlflowException

        for start in range(0, len(items), at_once):
            part = items[start : start + at_once]
            try:
                send(part)
            except MlflowException as error:
                if not refuses_content(error):
                    raise
                for item in part:
                    with self.refusable(describe(item)):
                        send([item])


@dataclass(frozen=True)
class FieldChanges:
    """What to write and to remove; `kept` are the fields whose value on the server isn't ours."""

    write: Dict[str, str] = field(default_factory=dict)
    remove: List[str] = field(default_factory=list)
    kept: List[str] = field(default_factory=list)


def field_changes(
    local: Mapping[str, str], server: Mapping[str, str], written: Mapping[str, Written]
) -> FieldChanges:
    """Write what is absent on the server or still holds what was written last, and nothing else.

    A field that was written and is gone was removed by somebody on the server: it stays removed.
    A parameter never changes on an MLflow server. How something ended (the field `status` alone) is
    written apart from the rest.
    """
    changes = FieldChanges()
    for name, value in local.items():
        past = written.get(name, Written())
        if name not in server:
            if not past.settled:
                changes.write[name] = value
        elif server[name] != value:
            if server[name] in past.values and not name.startswith(PARAM):
                changes.write[name] = value
            elif value not in past.values:
                changes.kept.append(name)
    for name, past in written.items() if STATUS not in local else ():
        if name.startswith(TAG) and name not in local and server.get(name) in past.values:
            changes.remove.append(name)
    return changes


def with_prefix(prefix: str, values: Mapping[str, str]) -> Dict[str, str]:
    """Tags or parameters as fields."""
    return {prefix + key: value for key, value in values.items()}


def pairs_of(prefix: str, fields: Mapping[str, str]) -> Dict[str, str]:
    """The tags, or the parameters, among fields."""
    return {name[len(prefix) :]: fields[name] for name in fields if name.startswith(prefix)}
