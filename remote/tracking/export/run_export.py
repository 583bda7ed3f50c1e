"""The export: the order in which things are sent.

First all runs and models get their place on the server, so that each can name any other; then they
are sent one by one, and how each of them ended comes last.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Set

from remote.errors import StoreError
from remote.output import plural
from remote.tracking import schema
from remote.tracking.export.artifact_upload import send_files
from remote.tracking.export.entity_kinds import EndingKind
from remote.tracking.export.experiment_kind import Experiments
from remote.tracking.export.export_record import open_record
from remote.tracking.export.export_session import Session
from remote.tracking.export.export_summary import LIMITS, ExportSummary
from remote.tracking.export.metric_points import send_history
from remote.tracking.export.model_kind import Models
from remote.tracking.export.pending import (
    ExportOrder,
    Signatures,
    artifact_files,
    is_ours_to_send,
    signatures_here,
    unsent,
)
from remote.tracking.export.place import Placed, place
from remote.tracking.export.run_inputs import send_inputs
from remote.tracking.export.run_kind import Runs
from remote.tracking.export.server_client import ServerAddress, no_repeats, reason, server_client
from remote.tracking.merge.base import store_identity
from remote.tracking.store import connect_read_only, has_table, unusable

Progress = Callable[[int, int], None]

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
        session.experiments = {each.experiment_id: each for each in _experiments(session.client)}
    first = session.experiments.get("0")
    with closing(connect_read_only(session.order.store)) as database:
        store = store_identity(database)
    if session.record.begin_for(f"{store} {first.creation_time if first else ''}"):
        session.summary.notes += LIMITS


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
        session.refusable(f"{entity.kind.name} {entity.identity}", partial(_send, session, entity))
    counts = {noun: _count(session.order.store, table) for table, noun in _STAYS.items()}
    session.summary.stays_here += [plural(count, noun) for noun, count in counts.items() if count]


def _place_all(
    kind: EndingKind, signatures: Mapping[str, str], experiments: Set[str]
) -> List[Placed]:
    placed: List[Placed] = []

    def add(identity: str, signature: str) -> None:
        local = kind.read_local(identity)
        if kind.experiment_of(local) in experiments:
            placed.extend(place(kind, identity, local, signature))

    for identity, signature in signatures.items():
        kind.session.refusable(f"{kind.name} {identity}", partial(add, identity, signature))
    return placed


def _place_experiments(session: Session, signatures: Mapping[str, str]) -> Set[str]:
    """Those that can be written to."""
    kind = Experiments(session)
    found: Set[str] = set()

    def add(identity: str, signature: str) -> None:
        for entity in place(kind, identity, kind.read_local(identity), signature):
            kind.write_fields(identity, entity.local, entity.server)
            session.record.finish(kind.name, identity, signature)
            found.add(identity)

    for identity, signature in signatures.items():
        session.refusable(f"experiment {identity}", partial(add, identity, signature))
    return found


def _send(session: Session, entity: Placed) -> None:
    kind, identity = entity.kind, entity.identity
    assert isinstance(kind, EndingKind)
    kind.write_fields(identity, entity.local, entity.server)
    if kind.name == schema.RUN:
        send_history(session, identity, kind.id_of(entity.server))
        send_inputs(session, identity, entity.local, entity.server)
    root, location = session.order.root, kind.location(entity.local)
    files = list(artifact_files(root, location, identity))
    whole = send_files(session, kind.name, identity, kind.location(entity.server), files)
    if not is_ours_to_send(root, location, identity):
        session.summary.note(
            f"The artifacts of {kind.name} {identity} aren't sent: they lie outside of this project."
        )
    kind.write_status(identity, entity.local, entity.server)
    if whole:
        session.record.finish(kind.name, identity, entity.signature)


def _count(store: Path, table: str) -> int:
    with closing(connect_read_only(store)) as database:
        if not has_table(database, table):
            return 0
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
