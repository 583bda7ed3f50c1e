"""An experiment's own rows: itself, its tags and its datasets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.entity import Entity
from remote.tracking.filestore.layout import (
    EXPERIMENT_PARTS,
    META,
    Artifacts,
    ExperimentFolder,
    runs,
)
from remote.tracking.filestore.scan import Unreadable, scan, why
from remote.tracking.filestore.yaml_mapping import read_mapping, text, whole

DATASET_LIMIT = 24 << 20
"""Bytes of a dataset's meta.yaml: MLflow allows a profile of 16 MiB."""


@dataclass(frozen=True)
class Experiment:
    """One whose meta.yaml could be read; `row` is its own row, `seed` tells it from all others."""

    folder: ExperimentFolder
    row: Tuple[object, ...]
    seed: str

    @property
    def id(self) -> int:
        return self.folder.id

    def dataset_uuid(self, dataset: str) -> str:
        """The files have no uuid for a dataset: of the same one it is always the same."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.seed}/{dataset}"))


def open_experiment(
    output: DeltaOutput, folder: ExperimentFolder, artifacts: Artifacts
) -> Optional[Experiment]:
    """None if it has no meta.yaml, as the artifacts of a database store, or can't be read."""
    label = f"experiments/{folder.id}"
    try:
        return _read(folder, artifacts)
    except FileNotFoundError:
        if any(scan(f"{folder.path}/{name}", (), (META,)).has(META) for name in runs(folder)):
            output.note(label, f"{META} is missing, so its runs are left out")
    except (OSError, Unreadable) as error:
        output.note(label, f"{META} can't be read, so its runs are left out ({why(error)})")
        output.claim(schema.EXPERIMENT, folder.id)
    return None


def send_experiment(output: DeltaOutput, experiment: Experiment, artifacts: Artifacts) -> None:
    """Its own row is always sent. Read again, since it may have changed while its runs were read."""
    entity = _entity(output, experiment)
    row = experiment.row
    try:
        row = _read(experiment.folder, artifacts).row
    except (OSError, Unreadable) as error:
        entity.note(META, error)
    output.add("experiments", [row])
    if entity.is_unchanged:
        return
    for trouble in sorted(entity.tree.trouble):
        output.note(entity.label, trouble)
    output.add("experiment_tags", [(*tag, experiment.id) for tag in entity.values("tags")])
    output.add("datasets", _datasets(entity, experiment))
    entity.written()


def _entity(output: DeltaOutput, experiment: Experiment) -> Entity:
    folder = experiment.folder
    output.claim(schema.EXPERIMENT, folder.id)
    tree = scan(folder.path, EXPERIMENT_PARTS, (META,))
    signature = tree.signature(folder.name)
    unchanged = output.is_unchanged(schema.EXPERIMENT, folder.id, signature)
    label = f"experiments/{folder.id}"
    return Entity(output, schema.EXPERIMENT, str(folder.id), label, tree, signature, unchanged)


def _read(folder: ExperimentFolder, artifacts: Artifacts) -> Experiment:
    meta = read_mapping(f"{folder.path}/{META}")
    location = text(meta, "artifact_location")
    created = whole(meta, "creation_time")
    row = (
        folder.id,
        text(meta, "name", default=f"experiment_{folder.id}"),
        artifacts.now(location),
        # Old versions of MLflow know a deleted experiment by its place alone.
        "deleted" if folder.is_deleted else "active",
        created,
        whole(meta, "last_update_time"),
    )
    return Experiment(folder, row, repr((folder.id, created, location)))


def _datasets(entity: Entity, experiment: Experiment) -> List[Tuple[object, ...]]:
    rows: List[Tuple[object, ...]] = []
    for dataset, meta in entity.mappings("datasets", limit=DATASET_LIMIT):
        try:
            rows.append((experiment.dataset_uuid(dataset), experiment.id, *_dataset(meta)))
        except Unreadable as error:
            entity.note(f"datasets/{dataset}/{META}", error)
    return rows


def _dataset(meta: Mapping[str, Any]) -> Tuple[Optional[str], ...]:
    defaults: Dict[str, Optional[str]] = {"schema": None, "profile": None}
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    return tuple(text(meta, name, default=defaults.get(name, "")) for name in names)
