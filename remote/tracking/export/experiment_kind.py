"""Experiments: matched by name the first time, whatever they are called on the server later."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Mapping

from remote.tracking import schema
from remote.tracking.export.entity_kinds import EntityKind
from remote.tracking.export.field_changes import NAME, TAG, pairs_of, with_prefix
from remote.tracking.export.server_client import is_taken


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
