"""An export under way: both sides, the record between them, and what there is to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Sequence

from remote.tracking.export.export_record import ExportRecord
from remote.tracking.export.export_summary import ExportSummary
from remote.tracking.export.field_changes import field_changes
from remote.tracking.export.pending import ExportOrder
from remote.tracking.export.server_client import reason, refuses_content


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

    @property
    def experiment_ids(self) -> List[str]:
        """What a search has to name."""
        return list(self.experiments)

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

    def refusable(self, what: str, request: Callable[[], object]) -> None:
        """Do a request; where the server refuses its content, note that `what` is left out."""
        from mlflow.exceptions import MlflowException

        try:
            request()
        except MlflowException as error:
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
                    self.refusable(describe(item), partial(send, [item]))
