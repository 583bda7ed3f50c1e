"""The export: the order in which things are sent.

First all runs and models get their place on the server, so that each can name any other; then they
are sent one by one, and how each of them ended comes last.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Set

from remote.errors import StoreError
from remote.output import plural
from remote.tracking import schema
from remote.tracking.export.artifact_upload import send_files
from remote.tracking.export.entity_kinds import (
    EndingKind,
    Entity,
    EntityKind,
    Experiments,
    Models,
    Runs,
)
from remote.tracking.export.export_record import SentMetrics, open_record
from remote.tracking.export.export_session import NAME, ExportSummary, Session
from remote.tracking.export.pending import (
    ExportOrder,
    Signatures,
    artifact_files,
    is_ours_to_send,
    signatures_here,
    unsent,
)
from remote.tracking.export.run_content import send_history, send_inputs
from remote.tracking.export.server_client import (
    ServerAddress,
    is_missing,
    no_repeats,
    reason,
    server_client,
)
from remote.tracking.merge.base import store_identity
from remote.tracking.store import connect_read_only, has_table, unusable

Progress = Callable[[int, int], None]

_LIMITS = (
    "Runs and logged models get new ids on the server; the tags remote.source_run and"
    " remote.source_model hold the ids they have here. Files such as MLmodel go as they are.",
    "Experiments and logged models are created at the server's time. What is deleted here stays there.",
)
"""What MLflow's client can't carry as it is; told with the first export to a server."""
_STAYS = {
    "trace_info": "trace",
    "evaluation_datasets": "evaluation data set",
    "registered_models": "registered model",
}
"""Tables of records that aren't exported, and what the user calls them."""


def export(order: ExportOrder, progress: Optional[Progress] = None) -> Optional[ExportSummary]:
    """Send what is new or changed; None where nothing is, and then the server isn't asked.

    Stopped anywhere, the next export does the rest. Raises StoreError, ConnectError and ConfigError.
    """
    address = ServerAddress.parse(order.address)
    try:
        signatures = signatures_here(order)
        with closing(open_record(order.record)) as record:
            if not any(unsent(signatures, record).values()):
                return None
            with server_client(address, order.settings) as client:
                session = Session(order, client, _local_store(order), record, ExportSummary())
                session.summary.server = address.url
                _greet(session)
                # The record may just have turned out to be about another server.
                todo = unsent(signatures, record)
                _export(session, signatures, todo, progress or (lambda done, total: None))
                return session.summary
    except sqlite3.Error as error:
        raise unusable(order.store, error) from error


def _local_store(order: ExportOrder) -> Any:
    """MLflow's own reader; its address is SQLAlchemy's to spell."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import URL

    address = URL.create("sqlite", database=str(order.store.resolve()))
    try:
        return SqlAlchemyStore(str(address), str(order.root / "mlruns"))
    except MlflowException as error:
        raise StoreError(f"MLflow can't read {order.store}: {reason(error)}") from error


def _greet(session: Session) -> None:
    """The first request: fails at once where there is no server, and tells which one it is.

    A server that was set up anew, at whatever address, was created at another time; so was a store.
    """
    with no_repeats():
        session.experiments = {one.experiment_id: one for one in _experiments(session.client)}
    first = session.experiments.get("0")
    with closing(connect_read_only(session.order.store)) as database:
        store = store_identity(database)
    if session.record.begin_for(f"{store} {first.creation_time if first else ''}"):
        session.summary.notes += _LIMITS


def _experiments(client: Any) -> Iterator[Any]:
    """All of the server, with the deleted ones, whose names are taken too."""
    from mlflow.entities import ViewType

    token = None
    while True:
        page = client.search_experiments(ViewType.ALL, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _export(session: Session, signatures: Signatures, todo: Signatures, progress: Progress) -> None:
    experiments = _place_experiments(session, signatures[schema.EXPERIMENT])
    placed = _place_all(Runs(session), todo[schema.RUN], experiments)
    session.summary.grown_runs = len(placed) - session.summary.new.get(schema.RUN, 0)
    placed += _place_all(Models(session), todo[schema.MODEL], experiments)
    for done, entity in enumerate(placed):
        progress(done, len(placed))
        # What the server refuses for one must not keep the others waiting.
        with session.refusable(f"{entity.kind.name} {entity.local.id}"):
            _send(session, entity)
    counts = {noun: _count(session.order.store, table) for table, noun in _STAYS.items()}
    session.summary.stays_here += [plural(count, noun) for noun, count in counts.items() if count]


def _place_experiments(session: Session, signatures: Mapping[str, str]) -> Set[str]:
    """Those that can be written to."""
    kind = Experiments(session)
    writable: Set[str] = set()
    for identity, signature in signatures.items():
        with session.refusable(f"experiment {identity}"):
            local = kind.read_local(identity)
            server = _place(kind, local, signature)
            if server is not None:
                kind.write_fields(local, server)
                session.record.finish(kind.name, identity, signature)
                writable.add(identity)
    return writable


@dataclass(frozen=True)
class _Placed:
    """A run or model on both sides; the server's as it was before we write."""

    kind: EndingKind
    local: Entity
    server: Entity
    signature: str


def _place_all(
    kind: EndingKind, signatures: Mapping[str, str], experiments: Set[str]
) -> List[_Placed]:
    placed: List[_Placed] = []
    for identity, signature in signatures.items():
        with kind.session.refusable(f"{kind.name} {identity}"):
            local = kind.read_local(identity)
            in_reach = local.experiment_id in experiments
            server = _place(kind, local, signature) if in_reach else None
            if server is not None:
                placed.append(_Placed(kind, local, server, signature))
    return placed


def _place(kind: EntityKind, local: Entity, signature: str) -> Optional[Entity]:
    """Find it on the server, or create it there; None where the server has deleted it."""
    server = _on_server(kind, local)
    if server is not None and server.is_active:
        return server
    label = local.fields[NAME] if kind.name == schema.EXPERIMENT else local.id
    kind.session.summary.note(f"{kind.name} {label} is deleted on the server, and left so")
    if kind.stays_deleted:
        # Told once: until it changes here, it isn't looked at again.
        kind.session.record.finish(kind.name, local.id, signature)
    return None


def _on_server(kind: EntityKind, local: Entity) -> Optional[Entity]:
    record = kind.session.record
    server_id = record.entity(kind.name, local.id).server_id
    if server_id is not None:
        server = _read(kind, local.id, server_id)
        if server is not None or kind.stays_deleted:
            return server
    server = kind.find(local)
    if server is None:
        return _create(kind, local)
    record.place(kind.name, local.id, server.id)
    return server


def _read(kind: EntityKind, identity: str, server_id: str) -> Optional[Entity]:
    from mlflow.exceptions import MlflowException

    try:
        return kind.read(server_id) if server_id else None
    except MlflowException as error:
        if not is_missing(error):
            raise
        kind.session.record.place(kind.name, identity, "")
        return None


def _create(kind: EntityKind, local: Entity) -> Entity:
    """It gets its name with the same request, so that is announced as any other value is."""
    record, created = kind.session.record, kind.session.summary.new
    named = {NAME: local.fields[NAME]} if NAME in local.fields else {}
    record.announce(kind.name, local.id, named)
    server = kind.create(local)
    record.place(kind.name, local.id, server.id)
    if kind.name == schema.RUN:
        record.sent_metrics(local.id, SentMetrics(under_way=False))
    created[kind.name] = created.get(kind.name, 0) + 1
    return server


def _send(session: Session, placed: _Placed) -> None:
    kind, local, server = placed.kind, placed.local, placed.server
    kind.write_fields(local, server)
    if kind.name == schema.RUN:
        send_history(session, local.id, server.id)
        send_inputs(session, local, server)
    root = session.order.root
    files = list(artifact_files(root, local.location, local.id))
    whole = send_files(session, kind.name, local.id, server.location, files)
    if not is_ours_to_send(root, local.location, local.id):
        session.summary.note(
            f"The artifacts of {kind.name} {local.id} aren't sent: they lie outside of this project."
        )
    kind.write_status(local, server)
    if whole:
        session.record.finish(kind.name, local.id, placed.signature)


def _count(store: Path, table: str) -> int:
    with closing(connect_read_only(store)) as database:
        if not has_table(database, table):
            return 0
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
