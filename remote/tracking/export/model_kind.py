"""Logged models: known again by the tag `remote.source_model`."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Mapping

from remote.tracking import schema
from remote.tracking.export.entity_kinds import SOURCE_MODEL, EndingKind
from remote.tracking.export.field_changes import PARAM, TAG, pairs_of, with_prefix
from remote.tracking.export.server_client import no_repeats


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
