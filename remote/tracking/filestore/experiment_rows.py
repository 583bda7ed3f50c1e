"""An experiment's own rows: itself, its tags, its data sets and its logged models."""

from __future__ import annotations

import os
import uuid
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore import layout
from remote.tracking.filestore.delta_output import DeltaOutput, Entity, open_entity
from remote.tracking.filestore.layout import FAULTS, META, Artifacts, Unreadable, why
from remote.tracking.filestore.metric_history import finite, point_of
from remote.tracking.filestore.yaml_mapping import lifecycle, read_mapping, status, text, whole

MODEL_STATUS = {1: "PENDING", 2: "READY", 3: "FAILED"}
"""As numbered by MLflow's LoggedModelStatus."""


class Experiment:
    """One whose meta.yaml could be read; `place` is its folder in the store, `3` or `.trash/3`."""

    def __init__(self, place: str, artifacts: Artifacts) -> None:
        """Raises Unreadable and OSError."""
        self.id = int(os.path.basename(place))
        self.place, self.artifacts, self.folder = place, artifacts, f"{artifacts.root}/{place}"
        self.read()

    def read(self) -> None:
        """Once more after its runs were read, since it may have changed. Raises as before."""
        meta = read_mapping(f"{self.folder}/{META}")
        location = text(meta, "artifact_location")
        created = whole(meta, "creation_time")
        self.row = (
            self.id,
            text(meta, "name") or f"experiment_{self.id}",
            self.artifacts.now(location),
            # Old versions of MLflow know a deleted experiment by its place alone.
            "deleted" if self.place.startswith(layout.TRASH) else "active",
            created,
            whole(meta, "last_update_time"),
        )
        self._seed = repr((self.id, created, location))  # tells it from all others

    def dataset_uuid(self, dataset: str) -> str:
        """The files have no uuid for a dataset: of the same one it is always the same."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._seed}/{dataset}"))


def open_experiment(output: DeltaOutput, place: str, artifacts: Artifacts) -> Optional[Experiment]:
    """None if it has no meta.yaml, as the artifacts of a database store, or can't be read."""
    folder, label = f"{artifacts.root}/{place}", f"experiments/{os.path.basename(place)}"
    try:
        experiment = Experiment(place, artifacts)
    except FileNotFoundError:
        names = output.subfolders(folder)
        if any(os.path.isfile(f"{folder}/{name}/{META}") for name in names):
            output.note_unseen(label, f"{META} is missing, so its runs are left out")
    except FAULTS as error:
        reason = f"{META} can't be read, so its runs are left out ({why(error)})"
        output.note_unseen(label, reason)
    else:
        output.claim(schema.EXPERIMENT, str(experiment.id))
        return experiment
    return None


def send_experiment(output: DeltaOutput, experiment: Experiment) -> None:
    """Its own row is always sent, as it is after its runs were read."""
    folder, parts = experiment.folder, ("tags", "datasets")
    entity = Entity(output, schema.EXPERIMENT, folder, parts, experiment.place)
    try:
        experiment.read()
    except FAULTS as error:
        entity.note(META, error)
    output.add("experiments", [experiment.row])
    if not entity.is_unchanged:
        output.add("experiment_tags", ((*tag, experiment.id) for tag in entity.values("tags")))
        output.add("datasets", _datasets(entity, experiment))
        entity.written()


def _datasets(entity: Entity, experiment: Experiment) -> Iterator[Tuple[object, ...]]:
    for dataset, meta in entity.mappings("datasets"):
        try:
            yield (
                experiment.dataset_uuid(dataset),
                experiment.id,
                *(text(meta, name, "") for name in ("name", "digest", "source_type", "source")),
                *(text(meta, name) for name in ("schema", "profile")),
            )
        except Unreadable as error:
            entity.note(f"datasets/{dataset}/{META}", error)


def send_model(output: DeltaOutput, experiment: Experiment, name: str) -> None:
    """Send the model in the folder of this name, unless it is as it was."""
    path = f"{experiment.folder}/models/{name}"
    parts = ("params", "tags", "metrics")
    entity = open_entity(output, schema.MODEL, path, parts, experiment.place)
    if entity is None:
        return
    try:
        meta = read_mapping(f"{path}/{META}")
        row = _model_row(name, meta, experiment)
    except FAULTS as error:
        entity.note(META, error)
        return
    owner = (name, experiment.id)
    output.add("logged_models", [row])
    output.add("logged_model_params", ((*param, *owner) for param in entity.values("params")))
    output.add("logged_model_tags", ((*tag, *owner) for tag in entity.values("tags")))
    for key in entity.names("metrics"):
        output.add("logged_model_metrics", _metric_rows(entity, key, experiment))
    entity.written(working=MODEL_STATUS[status(meta, MODEL_STATUS)] == "PENDING")


def _model_row(model: str, meta: Mapping[str, Any], experiment: Experiment) -> Tuple[object, ...]:
    named = text(meta, "model_id", model)
    if named != model:
        raise Unreadable(f"it is of another model, {named}")
    return (
        model,
        experiment.id,
        text(meta, "name", ""),
        experiment.artifacts.now(text(meta, "artifact_location", "")),
        whole(meta, "creation_timestamp", 0),
        whole(meta, "last_updated_timestamp", 0),
        status(meta, MODEL_STATUS),
        lifecycle(meta),
        text(meta, "model_type"),
        text(meta, "source_run_id"),
        text(meta, "status_message"),
    )


def _metric_rows(entity: Entity, key: str, experiment: Experiment) -> List[Tuple[object, ...]]:
    """Of lines `timestamp value step run`, and of a data set its name and digest."""
    rows: List[Tuple[object, ...]] = []
    name = f"metrics/{key}"
    try:
        data = layout.read(f"{entity.folder}/{name}")
    except FAULTS as error:
        entity.note(name, error)
        return rows
    # What stands behind the last line's end is half written, and comes the next time.
    lines = data.split(b"\n")[:-1]
    for line in lines:
        try:
            fields = line.decode("utf-8").strip().split(" ")
            time, value, step = point_of(fields[:3])
            more: List[Optional[str]] = [*fields[3:]]
            run, dataset, digest = more if len(more) == 3 else [*more, None, None]
        except ValueError:
            continue
        row = (entity.id, key, time, step, finite(value), experiment.id, run, dataset, digest)
        rows.append(row)
        if run not in entity.output.present[schema.RUN]:
            # It may have begun after the runs were listed: without it, the merge drops the row.
            entity.is_complete = False
    entity.note_lines(name, len(lines) - len(rows))
    return rows
