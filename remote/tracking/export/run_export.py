"""The export: how runs and logged models are found, created and written, and in which order.

First all of them get their place on the server, so that each can name any other; then they are
sent one by one, and how each of them ended comes last.
"""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache, partial
from typing import Any, Callable, Dict, List, Sequence, Tuple

from mlflow.entities import Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils import get_results_from_paginated_fn
from sqlalchemy import URL

from remote.errors import StoreError
from remote.tracking.export.export_record import (
    ExportOrder,
    ExportRecord,
    ExportSummary,
    Sent,
    Signatures,
)
from remote.tracking.export.export_session import (
    NAME,
    PARAM,
    STATUS,
    TAG,
    UNFINISHED,
    Placed,
    Session,
    Writers,
)
from remote.tracking.export.run_content import send_artifacts, send_history, send_inputs
from remote.tracking.export.server_client import NO_REPEATS, environment, reason
from remote.tracking.merge.base import store_identity
from remote.tracking.schema import EXPERIMENT, MODEL, RUN
from remote.tracking.store import connect_read_only

_SOURCE = {RUN: "remote.source_run", MODEL: "remote.source_model"}
"""The tags by which they are known again."""
_READER = {RUN: "get_run", MODEL: "get_logged_model"}
"""Methods of MLflow's client of the server, and of its reader of the store here."""
_LOCATION = {RUN: "artifact_uri", MODEL: "artifact_location"}
_NOT_WRITTEN = (*_SOURCE.values(), "mlflow.runName")
_PARENT = TAG + "mlflow.parentRunId"
_LIMITS = (
    "Runs and logged models get new ids on the server; the tags remote.source_run and"
    " remote.source_model hold their local ids. Files such as MLmodel go as they are;"
    " remote/job.json, which holds the variables of a job, stays here.",
    "Experiments and logged models are created at the server's time. What is deleted locally stays on the"
    " server, and an experiment keeps the name and the tags that it was created with.",
    "Traces, evaluation data sets and registered models aren't exported: no server takes them so.",
)
"""What MLflow's client can't carry as it is; told with the first export to a server."""


def send(
    order: ExportOrder,
    client: Any,
    record: ExportRecord,
    signatures: Signatures,
    progress: Callable[[int, int], None],
) -> ExportSummary:
    """Send all that wasn't sent whole under these signatures."""
    # MLflow's own reader; its address is SQLAlchemy's to spell.
    address = URL.create("sqlite", database=str(order.store.resolve()))
    try:
        store = SqlAlchemyStore(str(address), str(order.root / "mlruns"))
    except MlflowException as error:
        raise StoreError(
            f"MLflow can't read {order.store}: {reason(error)}", "Check it: inv mlflow-check"
        ) from error
    session = Session(order, client, store, record, ExportSummary(client.tracking_uri))
    _greet(session)
    # The record may just have turned out to be about another server.
    todo = record.unsent(signatures)
    todo.update(_children_before(session, todo, signatures))
    experiment = lru_cache(maxsize=None)(partial(_experiment, session))
    placed: List[Placed] = []
    for kind, identity in todo:
        with session.refusable(f"{kind} {identity}"):
            local = getattr(store, _READER[kind])(identity)
            entity = Placed(kind, identity, local, record.get(kind, identity))
            to = experiment(str(_info(entity.local).experiment_id))
            if to and _place(session, entity, to, todo[kind, identity]):
                placed.append(entity)
    runs = sum(entity.kind == RUN for entity in placed)
    session.summary.grown_runs = runs - session.summary.new.get(RUN, 0)
    for done, entity in enumerate(placed):
        progress(done, len(placed))
        # What the server refuses for one must not keep the others waiting.
        with session.refusable(str(entity)):
            if _send(session, entity):
                entity.sent.signature = todo[entity.kind, entity.id]
                session.save(entity)
    return session.summary


def _children_before(session: Session, todo: Signatures, signatures: Signatures) -> Signatures:
    """Runs that may have been sent before their parents, which only now get an id there."""
    new = {name for kind, name in todo if kind == RUN and not session.server_id(kind, name)}
    query = "SELECT run_uuid, value FROM tags WHERE key = ?"
    with closing(connect_read_only(session.order.store)) as database:
        rows = database.execute(query, (_PARENT[len(TAG) :],)).fetchall()
    children = ((RUN, child) for child, parent in rows if parent in new)
    return {key: signatures[key] for key in children if key in signatures}


def _greet(session: Session) -> None:
    """The first request: fails at once where there is no server, and tells which one it is.

    A server that was set up anew, at whatever address, was created at another time; so was a store.
    """
    search = partial(session.client.search_experiments, ViewType.ALL)
    with environment(NO_REPEATS):
        experiments = get_results_from_paginated_fn(
            lambda number, token: search(number, page_token=token), 1000
        )
    session.experiments = {item.experiment_id: item for item in experiments}
    created = [item.creation_time for item in experiments if item.experiment_id == "0"]
    with closing(connect_read_only(session.order.store)) as database:
        if session.record.begin_for(f"{store_identity(database)} {created}"):
            session.summary.notes += _LIMITS


def _experiment(session: Session, identity: str) -> str:
    """Its id on the server, whatever it is called there now; empty where it is deleted there."""
    local, known = session.store.get_experiment(identity), session.server_id(EXPERIMENT, identity)
    by_name = {item.name: item for item in session.experiments.values()}
    server = session.experiments.get(known) or by_name.get(local.name)
    if server is None:
        server = session.client.get_experiment(
            session.client.create_experiment(local.name, tags=local.tags)
        )
        session.experiments[server.experiment_id] = server
        session.summary.new[EXPERIMENT] = session.summary.new.get(EXPERIMENT, 0) + 1
    session.record.put(EXPERIMENT, identity, Sent(server.experiment_id))
    if server.lifecycle_stage == "active":
        return str(server.experiment_id)
    session.summary.note(f"experiment {local.name} is deleted on the server, and left so")
    return ""


def _place(session: Session, entity: Placed, experiment: str, signature: str) -> bool:
    """Find it on the server, or create it there; False where the server has deleted it."""
    if entity.sent.server_id:
        try:
            entity.server = getattr(session.client, _READER[entity.kind])(entity.sent.server_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    else:
        entity.server = _find(session, entity) or _create(session, entity, experiment)
        entity.sent.server_id = (
            entity.server.model_id if entity.kind == MODEL else entity.server.info.run_id
        )
        session.save(entity)
    if entity.server and getattr(_info(entity.server), "lifecycle_stage", "active") == "active":
        return True
    session.summary.note(f"{entity} is deleted on the server, and left so")
    # Told once: until it changes here, it isn't looked at again.
    entity.sent.signature = signature
    session.save(entity)
    return False


def _find(session: Session, entity: Placed) -> Any:
    """One that is there without the record's knowing, as after a colleague's export."""
    client, experiments = session.client, list(session.experiments)
    query = f"tags.`{_SOURCE[entity.kind]}` = '{entity.id}'"
    if entity.kind == MODEL:
        return next(iter(client.search_logged_models(experiments, query, max_results=1)), None)
    runs = client.search_runs(experiments, query, ViewType.ALL, 1)
    # A search doesn't tell which models a run used and made.
    return client.get_run(runs[0].info.run_id) if runs else None


def _create(session: Session, entity: Placed, experiment: str) -> Any:
    """Asked once only: a request that is repeated for want of an answer may create two."""
    local, tags = entity.local, {_SOURCE[entity.kind]: entity.id}
    with environment(NO_REPEATS):
        if entity.kind == MODEL:
            run = session.server_id(RUN, local.source_run_id) or None
            server = session.client.create_logged_model(
                experiment, local.name, run, tags, local.params, local.model_type
            )
        else:
            if "mlflow.user" in local.data.tags:
                # MLflow takes the user from this tag, and only now.
                tags["mlflow.user"] = local.data.tags["mlflow.user"]
            info, states = local.info, entity.sent.states
            states[NAME] = [*states.get(NAME, [None]), info.run_name]
            session.save(entity)
            server = session.client.create_run(experiment, info.start_time, tags, info.run_name)
            # The server gives a name to one that has none.
            states[NAME].append(server.info.run_name)
            entity.sent.points = 0
    session.summary.new[entity.kind] = session.summary.new.get(entity.kind, 0) + 1
    return server


def _send(session: Session, entity: Placed) -> bool:
    """False where not all could be sent."""
    local, server = _fields(entity.local), _fields(entity.server)
    status = {STATUS: local.pop(STATUS)}
    if _PARENT in local:
        # One that isn't there keeps the id that it has here.
        local[_PARENT] = session.server_id(RUN, local[_PARENT]) or local[_PARENT]
    writers = _writers(session.client, entity)
    session.write_fields(entity, local, server, writers)
    if entity.kind == RUN:
        send_history(session, entity)
        send_inputs(session, entity)
    here_at, there_at = (
        getattr(_info(raw), _LOCATION[entity.kind]) for raw in (entity.local, entity.server)
    )
    is_whole = send_artifacts(session, entity, here_at, there_at)
    session.write_fields(entity, status, server, writers)
    return is_whole


def _info(raw: Any) -> Any:
    return getattr(raw, "info", raw)


def _fields(raw: Any) -> Dict[str, Any]:
    """The status of a run with its end; one that was taken up again still has that of before."""
    info, data = _info(raw), getattr(raw, "data", raw)
    fields = {STATUS: str(info.status)}
    if data is not raw:
        fields.update({NAME: info.run_name} if info.run_name else {})
        if info.status not in UNFINISHED:
            fields[STATUS] += f" {info.end_time}"
    fields.update({PARAM + key: value for key, value in data.params.items()})
    fields.update({TAG + key: value for key, value in data.tags.items() if key not in _NOT_WRITTEN})
    return fields


def _writers(client: Any, entity: Placed) -> Writers:
    server_id = entity.sent.server_id
    if entity.kind == MODEL:
        return {
            PARAM: lambda pairs: client.log_model_params(server_id, dict(pairs)),
            TAG: lambda pairs: client.set_logged_model_tags(server_id, dict(pairs)),
            STATUS: lambda pairs: client.finalize_logged_model(server_id, pairs[0][1]),
        }
    log = partial(client.log_batch, server_id, synchronous=True)

    def end(pairs: Sequence[Tuple[str, str]]) -> None:
        status, _, time = pairs[0][1].partition(" ")
        if status in UNFINISHED:
            client.update_run(server_id, status)
        else:
            client.set_terminated(server_id, status, int(time) if time.isdigit() else None)

    return {
        NAME: lambda pairs: client.update_run(server_id, name=pairs[0][1]),
        PARAM: lambda pairs: log(params=[Param(*pair) for pair in pairs]),
        TAG: lambda pairs: log(tags=[RunTag(*pair) for pair in pairs]),
        STATUS: end,
    }
