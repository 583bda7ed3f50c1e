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
    " remote.source_model hold the ids they have here. Files such as MLmodel go as they are.",
    "Experiments and logged models are created at the server's time. What is deleted here stays there,"
    " and an experiment keeps the name and the tags that it was created with.",
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
        raise StoreError(f"MLflow can't read {order.store}: {reason(error)}") from error
    session = Session(order, client, store, record, ExportSummary(client.tracking_uri))
    _greet(session)
    # The record may just have turned out to be about another server.
    todo = record.unsent(signatures)
    experiment = lru_cache(maxsize=None)(partial(_experiment, session))
    placed: List[Placed] = []
    for kind, identity in todo:
        with session.refusable(f"{kind} {identity}"):
            here = getattr(store, _READER[kind])(identity)
            one = Placed(kind, identity, here, record.get(kind, identity))
            there = experiment(str(_info(one.here).experiment_id))
            if there and _place(session, one, there, todo[kind, identity]):
                placed.append(one)
    runs = sum(one.kind == RUN for one in placed)
    session.summary.grown_runs = runs - session.summary.new.get(RUN, 0)
    for done, one in enumerate(placed):
        progress(done, len(placed))
        # What the server refuses for one must not keep the others waiting.
        with session.refusable(str(one)):
            if _send(session, one):
                one.sent.signature = todo[one.kind, one.id]
                session.save(one)
    return session.summary


def _greet(session: Session) -> None:
    """The first request: fails at once where there is no server, and tells which one it is.

    A server that was set up anew, at whatever address, was created at another time; so was a store.
    """
    search = partial(session.client.search_experiments, ViewType.ALL)
    with environment(NO_REPEATS):
        experiments = get_results_from_paginated_fn(
            lambda number, token: search(number, page_token=token), 1000
        )
    session.experiments = {one.experiment_id: one for one in experiments}
    created = [one.creation_time for one in experiments if one.experiment_id == "0"]
    with closing(connect_read_only(session.order.store)) as database:
        if session.record.begin_for(f"{store_identity(database)} {created}"):
            session.summary.notes += _LIMITS


def _experiment(session: Session, identity: str) -> str:
    """Its id on the server, whatever it is called there now; empty where it is deleted there."""
    here, known = session.store.get_experiment(identity), session.server_id(EXPERIMENT, identity)
    by_name = {one.name: one for one in session.experiments.values()}
    there = session.experiments.get(known) or by_name.get(here.name)
    if there is None:
        there = session.client.get_experiment(
            session.client.create_experiment(here.name, tags=here.tags)
        )
        session.experiments[there.experiment_id] = there
        session.summary.new[EXPERIMENT] = session.summary.new.get(EXPERIMENT, 0) + 1
    session.record.put(EXPERIMENT, identity, Sent(there.experiment_id))
    if there.lifecycle_stage == "active":
        return str(there.experiment_id)
    session.summary.note(f"experiment {here.name} is deleted on the server, and left so")
    return ""


def _place(session: Session, one: Placed, experiment: str, signature: str) -> bool:
    """Find it on the server, or create it there; False where the server has deleted it."""
    if one.sent.server_id:
        try:
            one.there = getattr(session.client, _READER[one.kind])(one.sent.server_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    else:
        one.there = _find(session, one) or _create(session, one, experiment)
        one.sent.server_id = one.there.model_id if one.kind == MODEL else one.there.info.run_id
        session.save(one)
    if one.there and getattr(_info(one.there), "lifecycle_stage", "active") == "active":
        return True
    session.summary.note(f"{one} is deleted on the server, and left so")
    # Told once: until it changes here, it isn't looked at again.
    one.sent.signature = signature
    session.save(one)
    return False


def _find(session: Session, one: Placed) -> Any:
    """One that is there without the record's knowing, as after a colleague's export."""
    client, experiments = session.client, list(session.experiments)
    query = f"tags.`{_SOURCE[one.kind]}` = '{one.id}'"
    if one.kind == MODEL:
        return next(iter(client.search_logged_models(experiments, query, max_results=1)), None)
    runs = client.search_runs(experiments, query, ViewType.ALL, 1)
    # A search doesn't tell which models a run used and made.
    return client.get_run(runs[0].info.run_id) if runs else None


def _create(session: Session, one: Placed, experiment: str) -> Any:
    """Asked once only: a request that is repeated for want of an answer may create two."""
    here, tags = one.here, {_SOURCE[one.kind]: one.id}
    with environment(NO_REPEATS):
        if one.kind == MODEL:
            run = session.server_id(RUN, here.source_run_id) or None
            there = session.client.create_logged_model(
                experiment, here.name, run, tags, here.params, here.model_type
            )
        else:
            if "mlflow.user" in here.data.tags:
                # MLflow takes the user from this tag, and only now.
                tags["mlflow.user"] = here.data.tags["mlflow.user"]
            info, states = here.info, one.sent.states
            states[NAME] = [*states.get(NAME, [None]), info.run_name]
            session.save(one)
            there = session.client.create_run(experiment, info.start_time, tags, info.run_name)
            one.sent.rows = [0, 0]
    session.summary.new[one.kind] = session.summary.new.get(one.kind, 0) + 1
    return there


def _send(session: Session, one: Placed) -> bool:
    """False where not all could be sent."""
    here, there = _fields(one.here), _fields(one.there)
    status = {STATUS: here.pop(STATUS)}
    if _PARENT in here:
        # One that isn't there keeps the id that it has here.
        here[_PARENT] = session.server_id(RUN, here[_PARENT]) or here[_PARENT]
    writers = _writers(session.client, one)
    session.write_fields(one, here, there, writers)
    if one.kind == RUN:
        send_history(session, one)
        send_inputs(session, one)
    here_at, there_at = (getattr(_info(raw), _LOCATION[one.kind]) for raw in (one.here, one.there))
    is_whole = send_artifacts(session, one, here_at, there_at)
    session.write_fields(one, status, there, writers)
    return is_whole


def _info(raw: Any) -> Any:
    return getattr(raw, "info", raw)


def _fields(raw: Any) -> Dict[str, Any]:
    """The status of a run with its end; one that was taken up again still has that of before."""
    info, data = _info(raw), getattr(raw, "data", raw)
    fields = {STATUS: str(info.status)}
    if data is not raw:
        fields[NAME] = info.run_name
        if info.status not in UNFINISHED:
            fields[STATUS] += f" {info.end_time}"
    fields.update({PARAM + key: value for key, value in data.params.items()})
    fields.update({TAG + key: value for key, value in data.tags.items() if key not in _NOT_WRITTEN})
    return fields


def _writers(client: Any, one: Placed) -> Writers:
    server_id = one.sent.server_id
    if one.kind == MODEL:
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
