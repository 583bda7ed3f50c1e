"""An experiment's own rows: itself, its tags and its datasets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.entity import Thing
from remote.tracking.filestore.layout import EXPERIMENT_PARTS, META, Artifacts, Place, runs
from remote.tracking.filestore.scan import Unreadable, scan, why
from remote.tracking.filestore.yaml_mapping import read_mapping
from remote.tracking.filestore.yaml_values import text, whole

DATASET_LIMIT = 24 << 20
"""Bytes of a dataset's meta.yaml: MLflow allows a profile of 16 MiB."""


@dataclass(frozen=True)
class Experiment:
    place: Place
    row: Tuple[object, ...]
    seed: str

    @property
    def id(self) -> int:
        return self.place.id

    def dataset_uuid(self, folder: str) -> str:
        """The files have no uuid for a dataset: of the same one it is always the same."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.seed}/{folder}"))


def open_experiment(output: Output, place: Place, artifacts: Artifacts) -> Optional[Experiment]:
    """None if it has no meta.yaml, as the artifacts of a database store, or can't be read."""
    what = f"experiments/{place.id}"
    try:
        return _read(place, artifacts)
    except FileNotFoundError:
        if any(scan(f"{place.path}/{name}", (), (META,)).has(META) for name in runs(place)):
            output.note(what, f"{META} is missing, so its runs are left out")
    except (OSError, Unreadable) as error:
        output.note(what, f"{META} can't be read, so its runs are left out ({why(error)})")
        output.claim(schema.EXPERIMENT, place.id)
    return None


def send_experiment(output: Output, experiment: Experiment, artifacts: Artifacts) -> None:
    """Its own row is always sent. Read again, since it may have changed while its runs were read."""
    place = experiment.place
    what = f"experiments/{place.id}"
    output.claim(schema.EXPERIMENT, place.id)
    tree = scan(place.path, EXPERIMENT_PARTS, (META,))
    signature = tree.signature(place.inside)
    unchanged = output.is_unchanged(schema.EXPERIMENT, place.id, signature)
    thing = Thing(output, schema.EXPERIMENT, str(place.id), what, tree, signature, unchanged)
    row = experiment.row
    try:
        row = _read(place, artifacts).row
    except (OSError, Unreadable) as error:
        thing.note(META, error)
    output.add("experiments", [row])
    if unchanged:
        return
    for trouble in sorted(tree.trouble):
        output.note(what, trouble)
    output.add("experiment_tags", [(*each, place.id) for each in thing.values("tags")])
    output.add("datasets", _datasets(thing, experiment))
    output.entity(schema.EXPERIMENT, place.id, signature, settled=thing.is_settled())


def _read(place: Place, artifacts: Artifacts) -> Experiment:
    meta = read_mapping(f"{place.path}/{META}")
    location = text(meta, "artifact_location")
    created = whole(meta, "creation_time")
    row = (
        place.id,
        text(meta, "name", default=f"experiment_{place.id}"),
        artifacts.now(location),
        # Old versions of MLflow know a deleted experiment by its place alone.
        "deleted" if place.is_deleted else "active",
        created,
        whole(meta, "last_update_time"),
    )
    return Experiment(place, row, repr((place.id, created, location)))


def _datasets(thing: Thing, experiment: Experiment) -> List[Tuple[object, ...]]:
    rows: List[Tuple[object, ...]] = []
    for folder, meta in thing.mappings("datasets", "/" + META, limit=DATASET_LIMIT):
        try:
            rows.append((experiment.dataset_uuid(folder), experiment.id, *_dataset(meta)))
        except Unreadable as error:
            thing.note(f"datasets/{folder}/{META}", error)
    return rows


def _dataset(meta: Mapping[str, Any]) -> Tuple[Optional[str], ...]:
    defaults: Dict[str, Optional[str]] = {"schema": None, "profile": None}
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    return tuple(text(meta, name, default=defaults.get(name, "")) for name in names)
