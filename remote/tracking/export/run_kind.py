"""Runs: known again by the tag `remote.source_run`."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Mapping, Sequence

from remote.tracking import schema
from remote.tracking.export.entity_kinds import SOURCE_RUN, EndingKind
from remote.tracking.export.field_changes import NAME, PARAM, TAG, pairs_of, with_prefix
from remote.tracking.export.server_client import no_repeats

_PARENT = "mlflow.parentRunId"
_PAIRS = 50
"""Parameters or tags in one request, of at most 8000 characters each: it may have a megabyte."""


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

    def fields_to_write(self, local: Any) -> Dict[str, str]:
        """With the parent's id on the server; one that isn't there keeps the id that it has here."""
        fields = self.fields(local)
        parent = fields.get(TAG + _PARENT, "")
        server_parent = self.session.record.server_id(self.name, parent) if parent else ""
        return {**fields, **({TAG + _PARENT: server_parent} if server_parent else {})}

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
