"""Where on the server a run, model or experiment is: it is found again, or created there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List

from remote.tracking import schema
from remote.tracking.export.entity_kinds import EntityKind
from remote.tracking.export.export_record import SentMetrics
from remote.tracking.export.field_changes import NAME
from remote.tracking.export.server_client import is_missing


@dataclass(frozen=True)
class Placed:
    """One entity on both sides: MLflow's own objects, the server's as it was before we write."""

    kind: EntityKind
    identity: str
    local: Any
    server: Any
    signature: str


def place(kind: EntityKind, identity: str, local: Any, signature: str) -> List[Placed]:
    """One, or none where the server has deleted it: that is left so."""
    server = _on_server(kind, identity, local)
    if server is not None and kind.is_active(server):
        return [Placed(kind, identity, local, server, signature)]
    label = local.name if kind.name == schema.EXPERIMENT else identity
    kind.session.summary.note(f"{kind.name} {label} is deleted on the server, and left so")
    if kind.stays_deleted:
        # Told once: until it changes here, it isn't looked at again.
        kind.session.record.finish(kind.name, identity, signature)
    return []


def _on_server(kind: EntityKind, identity: str, local: Any) -> Any:
    entity = kind.session.record.entity(kind.name, identity)
    if entity is not None:
        server = _read(kind, identity, entity.server_id)
        if server is not None or kind.stays_deleted:
            return server
    server = kind.find(identity, local)
    if server is not None:
        kind.session.record.place(kind.name, identity, kind.id_of(server))
        return server
    return _create(kind, identity, local)


def _read(kind: EntityKind, identity: str, server_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return kind.read(server_id) if server_id else None
    except MlflowException as error:
        if not is_missing(error):
            raise
        kind.session.record.place(kind.name, identity, "")
        return None


def _create(kind: EntityKind, identity: str, local: Any) -> Any:
    """It gets its name with the same request, so that is announced as any other value is."""
    session, fields = kind.session, kind.fields(local)
    named = {NAME: fields[NAME]} if NAME in fields else {}
    session.record.announce(kind.name, identity, named)
    server = kind.create(identity, local)
    session.record.place(kind.name, identity, kind.id_of(server))
    if kind.name == schema.RUN:
        session.record.sent_metrics(identity, SentMetrics(under_way=False))
    session.summary.new[kind.name] = session.summary.new.get(kind.name, 0) + 1
    return server
