"""Experiments, runs and logged models, as both MLflow stores know them.

The same class of MLflow's stands for a run here and on the server, so one function reads the fields
of both. A kind says how one is read, found, created and written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar, Dict, Mapping, Sequence

from remote.tracking import schema
from remote.tracking.export.export_session import Session
from remote.tracking.export.field_changes import NAME, PARAM, STATUS, TAG, pairs_of, with_prefix
from remote.tracking.export.server_client import is_taken, no_repeats

SOURCE_RUN, SOURCE_MODEL = "remote.source_run", "remote.source_model"
PARENT_TAG = "mlflow.parentRunId"
_PAIRS = 50
"""Parameters or tags in one request, of at most 8000 characters each: it may have a megabyte."""
_OWN_TAGS = (SOURCE_RUN, SOURCE_MODEL, "mlflow.runName")


class EntityKind(ABC):
    """`name` is the kind's name in `schema.KINDS`."""

    name: ClassVar[str]
    stays_deleted: ClassVar[bool] = True
    """One that was sent and is gone from the server isn't created again."""

    def __init__(self, session: Session) -> None:
        self.session, self.client = session, session.client

    @abstractmethod
    def read_local(self, identity: str) -> Any: ...

    @abstractmethod
    def read(self, server_id: str) -> Any:
        """The one on the server."""

    @abstractmethod
    def find(self, identity: str, local: Any) -> Any:
        """One that is on the server without the record's knowing, else None."""

    @abstractmethod
    def create(self, identity: str, local: Any) -> Any: ...

    @abstractmethod
    def id_of(self, entity: Any) -> str: ...

    @abstractmethod
    def fields(self, entity: Any) -> Dict[str, str]:
        """Its name, tags and parameters, but not how it ended."""

    @abstractmethod
    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None: ...

    @abstractmethod
    def remove_tag(self, server_id: str, key: str) -> None: ...

    def is_active(self, entity: Any) -> bool:
        """Whether it can be written to."""
        return True

    def write_fields(self, identity: str, local: Any, server: Any) -> None:
        """Name, tags and parameters."""
        fields = self.fields(local)
        for tag in _OWN_TAGS:
            fields.pop(TAG + tag, None)
        parent = fields.get(TAG + PARENT_TAG, "")
        if parent:
            # One that isn't on the server keeps the id that it has here.
            fields[TAG + PARENT_TAG] = self.session.record.server_id(self.name, parent) or parent
        server_id = self.id_of(server)
        self.session.write_fields(
            self.name,
            identity,
            fields,
            self.fields(server),
            partial(self.set, identity, server_id),
            lambda name: self.remove_tag(server_id, name[len(TAG) :]),
        )


class EndingKind(EntityKind):
    """A kind whose entities end: nothing waits for one that isn't whole."""

    unfinished: ClassVar[Sequence[str]]

    @abstractmethod
    def experiment_of(self, entity: Any) -> str: ...

    @abstractmethod
    def location(self, entity: Any) -> str:
        """Where its artifacts are."""

    @abstractmethod
    def status(self, entity: Any) -> str: ...

    @abstractmethod
    def end(self, server_id: str, local: Any) -> None: ...

    def write_status(self, identity: str, local: Any, server: Any) -> None:
        """How it ended. One that goes on, on the server, gives way if we don't know how it came so."""
        session, status = self.session, self.status(server)
        if status in self.unfinished and STATUS not in session.record.written(self.name, identity):
            session.record.announce(self.name, identity, {STATUS: status})
        session.write_fields(
            self.name,
            identity,
            {STATUS: self.status(local)},
            {STATUS: status},
            lambda _: self.end(self.id_of(server), local),
        )


class Experiments(EntityKind):
    name = schema.EXPERIMENT
    stays_deleted = False

    def read_local(self, identity: str) -> Any:
        return self.session.store.get_experiment(identity)

    def read(self, server_id: str) -> Any:
        return self.session.experiments.get(server_id)

    def find(self, identity: str, local: Any) -> Any:
        named = [each for each in self.session.experiments.values() if each.name == local.name]
        return named[0] if named else None

    def create(self, identity: str, local: Any) -> Any:
        """A repeated request is refused for what the first one created."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_experiment(local.name)
        except MlflowException as error:
            if not is_taken(error):
                raise
        created = self.client.get_experiment_by_name(local.name)
        self.session.experiments[created.experiment_id] = created
        return created

    def id_of(self, entity: Any) -> str:
        return str(entity.experiment_id)

    def fields(self, entity: Any) -> Dict[str, str]:
        return {NAME: entity.name, **with_prefix(TAG, entity.tags)}

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        if NAME in fields:
            rename = partial(self.client.rename_experiment, server_id, fields[NAME])
            self.session.refusable(f"The name of experiment {identity}", rename)
        for key, value in pairs_of(TAG, fields).items():
            request = partial(self.client.set_experiment_tag, server_id, key, value)
            self.session.refusable(f"Tag {key} of experiment {identity}", request)

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_experiment_tag(server_id, key)

    def is_active(self, entity: Any) -> bool:
        return bool(entity.lifecycle_stage == "active")


class Runs(EndingKind):
    name = schema.RUN
    unfinished = ("RUNNING", "SCHEDULED")

    def read_local(self, identity: str) -> Any:
        return self.session.store.get_run(identity)

    def read(self, server_id: str) -> Any:
        return self.client.get_run(server_id)

    def find(self, identity: str, local: Any) -> Any:
        """A colleague exported it, or we did and the record is lost or was never written."""
        from mlflow.entities import ViewType

        query = f"tags.`{SOURCE_RUN}` = '{identity}'"
        ids = self.session.experiment_ids
        found = self.client.search_runs(ids, query, ViewType.ALL, max_results=1) if ids else []
        # A search doesn't tell which models a run used and made.
        return self.read(found[0].info.run_id) if found else None

    def create(self, identity: str, local: Any) -> Any:
        """Asked once only: a request that is repeated for want of an answer may create two."""
        user = local.data.tags.get("mlflow.user") or local.info.user_id
        # MLflow takes the user from this tag.
        tags = {SOURCE_RUN: identity, **({"mlflow.user": user} if user else {})}
        experiment = self.session.record.server_id(schema.EXPERIMENT, local.info.experiment_id)
        with no_repeats():
            return self.client.create_run(
                experiment, local.info.start_time, tags, local.info.run_name
            )

    def id_of(self, entity: Any) -> str:
        return str(entity.info.run_id)

    def fields(self, entity: Any) -> Dict[str, str]:
        name = {NAME: entity.info.run_name} if entity.info.run_name else {}
        params = with_prefix(PARAM, entity.data.params)
        return {**name, **params, **with_prefix(TAG, entity.data.tags)}

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        if NAME in fields:
            rename = partial(self.client.update_run, server_id, name=fields[NAME])
            self.session.refusable(f"The name of run {identity}", rename)
        params = [Param(key, value) for key, value in pairs_of(PARAM, fields).items()]
        tags = [RunTag(key, value) for key, value in pairs_of(TAG, fields).items()]
        for what, items in (("params", params), ("tags", tags)):
            self.session.send_all(
                items,
                _PAIRS,
                partial(self._log, server_id, what),
                lambda item: f"{item.key} of run {identity}",
            )

    def _log(self, server_id: str, what: str, items: Sequence[Any]) -> None:
        self.client.log_batch(server_id, synchronous=True, **{what: items})

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_tag(server_id, key)

    def is_active(self, entity: Any) -> bool:
        return bool(entity.info.lifecycle_stage == "active")

    def experiment_of(self, entity: Any) -> str:
        return str(entity.info.experiment_id)

    def location(self, entity: Any) -> str:
        return str(entity.info.artifact_uri)

    def status(self, entity: Any) -> str:
        """With its end; one that was taken up again still has that of before."""
        info = entity.info
        return info.status if info.status in self.unfinished else f"{info.status} {info.end_time}"

    def end(self, server_id: str, local: Any) -> None:
        if local.info.status in self.unfinished:
            self.client.update_run(server_id, local.info.status)
        else:
            self.client.set_terminated(server_id, local.info.status, local.info.end_time)


class Models(EndingKind):
    """MLflow's client can't say why a model failed, nor find one that is deleted."""

    name = schema.MODEL
    unfinished = ("PENDING", "UNSPECIFIED")

    def read_local(self, identity: str) -> Any:
        return self.session.store.get_logged_model(identity)

    def read(self, server_id: str) -> Any:
        return self.client.get_logged_model(server_id)

    def find(self, identity: str, local: Any) -> Any:
        query = f"tags.`{SOURCE_MODEL}` = '{identity}'"
        ids = self.session.experiment_ids
        found = self.client.search_logged_models(ids, query, max_results=1) if ids else []
        return found[0] if found else None

    def create(self, identity: str, local: Any) -> Any:
        record = self.session.record
        with no_repeats():
            return self.client.create_logged_model(
                record.server_id(schema.EXPERIMENT, local.experiment_id),
                name=local.name,
                source_run_id=record.server_id(schema.RUN, local.source_run_id or "") or None,
                tags={SOURCE_MODEL: identity},
                params=local.params,
                model_type=local.model_type,
            )

    def id_of(self, entity: Any) -> str:
        return str(entity.model_id)

    def fields(self, entity: Any) -> Dict[str, str]:
        return {**with_prefix(PARAM, entity.params), **with_prefix(TAG, entity.tags)}

    def set(self, identity: str, server_id: str, fields: Mapping[str, str]) -> None:
        for send, pairs in (
            (self.client.log_model_params, pairs_of(PARAM, fields)),
            (self.client.set_logged_model_tags, pairs_of(TAG, fields)),
        ):
            for key, value in pairs.items():
                request = partial(send, server_id, {key: value})
                self.session.refusable(f"{key} of model {identity}", request)

    def remove_tag(self, server_id: str, key: str) -> None:
        self.client.delete_logged_model_tag(server_id, key)

    def experiment_of(self, entity: Any) -> str:
        return str(entity.experiment_id)

    def location(self, entity: Any) -> str:
        return str(entity.artifact_location)

    def status(self, entity: Any) -> str:
        return str(entity.status)

    def end(self, server_id: str, local: Any) -> None:
        self.client.finalize_logged_model(server_id, local.status)
