"""An experiment's own rows: itself, its tags, its data sets and its logged models."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.entity import FAULTS, Entity, open_entity
from remote.tracking.filestore.layout import (
    EXPERIMENT_PARTS,
    META,
    MODEL_PARTS,
    MODELS,
    Artifacts,
    ExperimentFolder,
    runs,
)
from remote.tracking.filestore.metric_history import finite, fits
from remote.tracking.filestore.scan import Unreadable, read, scan, why
from remote.tracking.filestore.yaml_mapping import lifecycle, read_mapping, text, whole

DATASET_LIMIT = 24 << 20
"""Bytes of a dataset's meta.yaml: MLflow allows a profile of 16 MiB."""
MODEL_METRIC_LIMIT = 16 << 20
"""Bytes of one metric of a model: some values for each data set, not a history."""
#: As numbered by MLflow's LoggedModelStatus.
MODEL_STATUS = {"PENDING": 1, "READY": 2, "FAILED": 3}


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
    folder, row = experiment.folder, experiment.row
    output.claim(schema.EXPERIMENT, folder.id)
    tree = scan(folder.path, EXPERIMENT_PARTS, (META,))
    entity = Entity(output, schema.EXPERIMENT, str(folder.id), tree, folder.name)
    try:
        row = _read(folder, artifacts).row
    except (OSError, Unreadable) as error:
        entity.note(META, error)
    output.add("experiments", [row])
    if entity.is_unchanged:
        return
    entity.note_trouble()
    output.add("experiment_tags", [(*tag, experiment.id) for tag in entity.values("tags")])
    output.add("datasets", _datasets(entity, experiment))
    entity.written()


def send_model(
    output: DeltaOutput, experiment: Experiment, name: str, artifacts: Artifacts
) -> None:
    """Send the model in the folder of this name, unless it is as it was."""
    folder = experiment.folder
    path = f"{folder.path}/{MODELS}/{name}"
    entity = open_entity(output, schema.MODEL, path, parts=MODEL_PARTS, experiment=folder)
    if entity is None:
        return
    try:
        meta = entity.meta()
        row = _model_row(entity.id, meta, experiment, artifacts)
    except FAULTS as error:
        entity.note(META, error)
        return
    owner = (entity.id, experiment.id)
    output.add("logged_models", [row])
    output.add("logged_model_params", [(*param, *owner) for param in entity.values("params")])
    output.add("logged_model_tags", [(*tag, *owner) for tag in entity.values("tags")])
    for key in entity.tree.names("metrics"):
        _send_model_metric(entity, key, experiment)
    entity.written(working=_model_status(meta.get("status", 1)) == MODEL_STATUS["PENDING"])


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


def _model_row(
    model: str, meta: Mapping[str, Any], experiment: Experiment, artifacts: Artifacts
) -> Tuple[object, ...]:
    model.encode("utf-8")
    named = text(meta, "model_id", default=model)
    if named != model:
        raise Unreadable(f"it is of another model, {named}")
    return (
        model,
        experiment.id,
        text(meta, "name", default=""),
        artifacts.now(text(meta, "artifact_location", default="")),
        whole(meta, "creation_timestamp", default=0),
        whole(meta, "last_updated_timestamp", default=0),
        _model_status(meta.get("status", 1)),
        lifecycle(meta),
        text(meta, "model_type"),
        text(meta, "source_run_id"),
        text(meta, "status_message"),
    )


def _model_status(value: object) -> int:
    status = MODEL_STATUS.get(value) if isinstance(value, str) else value
    if not isinstance(status, int) or status not in MODEL_STATUS.values():
        raise Unreadable(f"its status is {str(value)[:20]}")
    return status


def _send_model_metric(entity: Entity, key: str, experiment: Experiment) -> None:
    name = f"metrics/{key}"
    try:
        key.encode("utf-8")
        data = read(entity.tree.path("metrics", key), MODEL_METRIC_LIMIT)
    except FAULTS as error:
        entity.note(name, error)
        return
    # What stands behind the last line's end is half written, and comes the next time.
    lines = data.split(b"\n")[:-1]
    points = [point for point in map(_model_point, lines) if point is not None]
    rows = [
        (entity.id, key, time, step, value, experiment.id, run, *dataset)
        for time, value, step, run, *dataset in points
    ]
    for point in points:
        _wait_for_run(entity, point[3], experiment)
    entity.output.add("logged_model_metrics", rows)
    entity.note_lines(name, len(lines) - len(points))


def _model_point(
    line: bytes,
) -> Optional[Tuple[int, float, int, str, Optional[str], Optional[str]]]:
    """`timestamp value step run`, and of a data set its name and digest."""
    try:
        fields = line.decode("utf-8").strip().split(" ")
        if len(fields) not in (4, 6):
            return None
        time, value, step = int(fields[0]), finite(float(fields[1])), int(fields[2])
    except ValueError:
        return None
    if not (fits(time) and fits(step)):
        return None
    dataset = (fields[4], fields[5]) if len(fields) == 6 else (None, None)
    return (time, value, step, fields[3], *dataset)


def _wait_for_run(entity: Entity, run: str, experiment: Experiment) -> None:
    """A run that was begun after the runs were listed: without it, the merge drops the row."""
    if entity.output.has(schema.RUN, run) or "/" in run or run in ("", ".", ".."):
        return
    if os.path.lexists(f"{experiment.folder.path}/{run}/{META}"):
        entity.revisit()
