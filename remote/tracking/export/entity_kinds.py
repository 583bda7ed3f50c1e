"""Experiments, runs and logged models: how an export reads, finds, creates and writes them.

The same class of MLflow's stands for a run here and on the server, so one function reads both.
Experiments are matched by name the first time, whatever they are called on the server later; runs
and logged models are known again by the tags `remote.source_run` and `remote.source_model`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Dict, Mapping, Optional, Sequence

from remote.tracking import schema
from remote.tracking.export.export_session import (
    NAME,
    PARAM,
    STATUS,
    TAG,
    Session,
    pairs_of,
    with_prefix,
)
from remote.tracking.export.server_client import is_taken, no_repeats

_SOURCE_RUN, _SOURCE_MODEL = "remote.source_run", "remote.source_model"
_OWN_TAGS = (_SOURCE_RUN, _SOURCE_MODEL, "mlflow.runName")
_PARENT = TAG + "mlflow.parentRunId"
_PAIRS = 50
"""Parameters or tags in one request, of at most 8000 characters each: it may have a megabyte."""


@dataclass(frozen=True)
class Entity:
    """One experiment, run or model, here or on the server; `raw` is MLflow's own object.

    `fields` are its name, tags and parameters; `location` is where its artifacts are, and `status`
    says how it ended.
    """

    raw: Any
    id: str
    experiment_id: str
    fields: Mapping[str, str]
    is_active: bool = True
    location: str = ""
    status: str = ""


class EntityKind(ABC):
    """`name` is the kind's name in `schema.KINDS`."""

    name: ClassVar[str]
    stays_deleted: ClassVar[bool] = True
    """One that was sent and is gone from the server isn't created again."""

    def __init__(self, session: Session) -> None:
        self.session, self.client = session, session.client

    @abstractmethod
    def read_local(self, identity: str) -> Entity: ...

    @abstractmethod
    def read(self, server_id: str) -> Optional[Entity]:
        """The one on the server."""

    @abstractmethod
    def find(self, local: Entity) -> Optional[Entity]:
        """One that is on the server without the record's knowing."""

    @abstractmethod
    def create(self, local: Entity) -> Entity: ...

    @abstractmethod
    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None: ...

    @abstractmethod
    def remove_tag(self, server_id: str, key: str) -> None: ...

    def fields_to_write(self, local: Entity) -> Dict[str, str]:
        """The fields of one that is here, in the server's terms."""
        return dict(local.fields)

    def write_fields(self, local: Entity, server: Entity) -> None:
        """Name, tags and parameters."""
        fields = self.fields_to_write(local)
        for tag in _OWN_TAGS:
            fields.pop(TAG + tag, None)
        self.session.write_fields(
            self.name,
            local.id,
            fields,
            server.fields,
            partial(self.set, local.id, server.id),
            lambda name: self.remove_tag(server.id, name[len(TAG) :]),
        )


class EndingKind(EntityKind):
    """A kind whose entities end: nothing waits for one that isn't whole."""

    unfinished: ClassVar[Sequence[str]]

    @abstractmethod
    def end(self, server_id: str, local: Entity) -> None: ...

    def write_status(self, local: Entity, server: Entity) -> None:
        """How it ended. One that goes on, on the server, gives way if we don't know how it came so."""
        record, status = self.session.record, server.status
        if status in self.unfinished and STATUS not in record.written(self.name, local.id):
            record.announce(self.name, local.id, {STATUS: status})

        def write(fields: Mapping[str, str]) -> None:
            with self.session.refusable(f"How {self.name} {local.id} ended"):
                self.end(server.id, local)

        self.session.write_fields(
            self.name, local.id, {STATUS: local.status}, {STATUS: status}, write
        )


class Experiments(EntityKind):
    name = schema.EXPERIMENT
    stays_deleted = False

    def read_local(self, identity: str) -> Entity:
        return self._entity(self.session.store.get_experiment(identity))

    def read(self, server_id: str) -> Optional[Entity]:
        experiment = self.session.experiments.get(server_id)
        return self._entity(experiment) if experiment else None

    def find(self, local: Entity) -> Optional[Entity]:
        on_server = map(self._entity, self.session.experiments.values())
        return next((one for one in on_server if one.fields[NAME] == local.fields[NAME]), None)

    def create(self, local: Entity) -> Entity:
        """A repeated request is refused for what the first one created."""
        from mlflow.exceptions import MlflowException

        name = local.fields[NAME]
        try:
            self.client.create_experiment(name)
        except MlflowException as error:
            if not is_taken(error):
                raise
        created = self._entity(self.client.get_experiment_by_name(name))
        self.session.experiments[created.id] = created.raw
        return created

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        if NAME in fields:
            with self.session.refusable(f"The name of experiment {identity}"):
                self.client.rename_experiment(server_id, fields[NAME])
        for key, value in pairs_of(TAG, fields).items():
            with self.session.refusable(f"Tag {key} of experiment {identity}"):
                self.client.set_experiment_tag(server_id, key, value)

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_experiment_tag(server_id, key)

    @staticmethod
    def _entity(experiment: Any) -> Entity:
        identity = str(experiment.experiment_id)
        fields = {NAME: experiment.name, **with_prefix(TAG, experiment.tags)}
        is_active = experiment.lifecycle_stage == "active"
        return Entity(experiment, identity, identity, fields, is_active)


class Runs(EndingKind):
    name = schema.RUN
    unfinished = ("RUNNING", "SCHEDULED")

    def read_local(self, identity: str) -> Entity:
        return self._entity(self.session.store.get_run(identity))

    def read(self, server_id: str) -> Entity:
        return self._entity(self.client.get_run(server_id))

    def find(self, local: Entity) -> Optional[Entity]:
        """A colleague exported it, or we did and the record is lost or was never written."""
        from mlflow.entities import ViewType

        query = f"tags.`{_SOURCE_RUN}` = '{local.id}'"
        experiments = list(self.session.experiments)
        runs = self.client.search_runs(experiments, query, ViewType.ALL, max_results=1)
        # A search doesn't tell which models a run used and made.
        return self.read(runs[0].info.run_id) if runs else None

    def create(self, local: Entity) -> Entity:
        """Asked once only: a request that is repeated for want of an answer may create two."""
        info = local.raw.info
        user = local.raw.data.tags.get("mlflow.user") or info.user_id
        # MLflow takes the user from this tag.
        tags = {_SOURCE_RUN: local.id, **({"mlflow.user": user} if user else {})}
        experiment = self.session.record.server_id(schema.EXPERIMENT, local.experiment_id)
        with no_repeats():
            run = self.client.create_run(experiment, info.start_time, tags, info.run_name)
        return self._entity(run)

    def fields_to_write(self, local: Entity) -> Dict[str, str]:
        """With the parent's id on the server; one that isn't there keeps the id that it has here."""
        parent = local.fields.get(_PARENT, "")
        server_parent = self.session.record.server_id(self.name, parent)
        return {**local.fields, **({_PARENT: server_parent} if server_parent else {})}

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        if NAME in fields:
            with self.session.refusable(f"The name of run {identity}"):
                self.client.update_run(server_id, name=fields[NAME])
        log = partial(self.client.log_batch, server_id, synchronous=True)
        for prefix, entity, send in (
            (PARAM, Param, lambda params: log(params=params)),
            (TAG, RunTag, lambda tags: log(tags=tags)),
        ):
            items = [entity(key, value) for key, value in pairs_of(prefix, fields).items()]
            self.session.send_all(items, _PAIRS, send, lambda item: f"{item.key} of run {identity}")

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_tag(server_id, key)

    def end(self, server_id: str, local: Entity) -> None:
        info = local.raw.info
        if info.status in self.unfinished:
            self.client.update_run(server_id, info.status)
        else:
            self.client.set_terminated(server_id, info.status, info.end_time)

    def _entity(self, run: Any) -> Entity:
        """With its end in the status; one that was taken up again still has that of before."""
        info = run.info
        name = {NAME: info.run_name} if info.run_name else {}
        ended = info.status not in self.unfinished
        return Entity(
            raw=run,
            id=str(info.run_id),
            experiment_id=str(info.experiment_id),
            fields={
                **name,
                **with_prefix(PARAM, run.data.params),
                **with_prefix(TAG, run.data.tags),
            },
            is_active=info.lifecycle_stage == "active",
            location=str(info.artifact_uri),
            status=f"{info.status} {info.end_time}" if ended else info.status,
        )


class Models(EndingKind):
    """MLflow's client can't say why a model failed, nor find one that is deleted."""

    name = schema.MODEL
    unfinished = ("PENDING", "UNSPECIFIED")

    def read_local(self, identity: str) -> Entity:
        return self._entity(self.session.store.get_logged_model(identity))

    def read(self, server_id: str) -> Entity:
        return self._entity(self.client.get_logged_model(server_id))

    def find(self, local: Entity) -> Optional[Entity]:
        query = f"tags.`{_SOURCE_MODEL}` = '{local.id}'"
        experiments = list(self.session.experiments)
        models = self.client.search_logged_models(experiments, query, max_results=1)
        return self._entity(models[0]) if models else None

    def create(self, local: Entity) -> Entity:
        record, model = self.session.record, local.raw
        with no_repeats():
            created = self.client.create_logged_model(
                record.server_id(schema.EXPERIMENT, local.experiment_id),
                name=model.name,
                source_run_id=record.server_id(schema.RUN, model.source_run_id or "") or None,
                tags={_SOURCE_MODEL: local.id},
                params=model.params,
                model_type=model.model_type,
            )
        return self._entity(created)

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        for send, pairs in (
            (self.client.log_model_params, pairs_of(PARAM, fields)),
            (self.client.set_logged_model_tags, pairs_of(TAG, fields)),
        ):
            for key, value in pairs.items():
                with self.session.refusable(f"{key} of model {identity}"):
                    send(server_id, {key: value})

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_logged_model_tag(server_id, key)

    def end(self, server_id: str, local: Entity) -> None:
        self.client.finalize_logged_model(server_id, local.raw.status)

    @staticmethod
    def _entity(model: Any) -> Entity:
        return Entity(
            raw=model,
            id=str(model.model_id),
            experiment_id=str(model.experiment_id),
            fields={**with_prefix(PARAM, model.params), **with_prefix(TAG, model.tags)},
            location=str(model.artifact_location),
            status=str(model.status),
        )
