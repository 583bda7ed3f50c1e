"""A logged model's folder as rows."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.entity import FAULTS, Entity, open_entity
from remote.tracking.filestore.experiment_rows import Experiment
from remote.tracking.filestore.layout import META, MODEL_PARTS, MODELS, Artifacts
from remote.tracking.filestore.metric_history import finite, fits
from remote.tracking.filestore.scan import Unreadable, read
from remote.tracking.filestore.yaml_mapping import lifecycle, text, whole

#: As numbered by MLflow's LoggedModelStatus.
STATUS = {"PENDING": 1, "READY": 2, "FAILED": 3}
METRICS_LIMIT = 16 << 20
"""Bytes of one metric of a model: some values for each data set, not a history."""


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
        row = _row(entity.id, meta, experiment, artifacts)
    except FAULTS as error:
        entity.note(META, error)
        return
    owner = (entity.id, experiment.id)
    output.add("logged_models", [row])
    output.add("logged_model_params", [(*param, *owner) for param in entity.values("params")])
    output.add("logged_model_tags", [(*tag, *owner) for tag in entity.values("tags")])
    for key in entity.tree.names("metrics"):
        _send_metric(entity, key, experiment)
    entity.written(working=_status(meta.get("status", 1)) == STATUS["PENDING"])


def _row(
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
        _status(meta.get("status", 1)),
        lifecycle(meta),
        text(meta, "model_type"),
        text(meta, "source_run_id"),
        text(meta, "status_message"),
    )


def _status(value: object) -> int:
    status = STATUS.get(value) if isinstance(value, str) else value
    if not isinstance(status, int) or status not in STATUS.values():
        raise Unreadable(f"its status is {str(value)[:20]}")
    return status


def _send_metric(entity: Entity, key: str, experiment: Experiment) -> None:
    name = f"metrics/{key}"
    try:
        key.encode("utf-8")
        data = read(entity.tree.path("metrics", key), METRICS_LIMIT)
    except FAULTS as error:
        entity.note(name, error)
        return
    # What stands behind the last line's end is half written, and comes the next time.
    lines = data.split(b"\n")[:-1]
    points = [point for point in map(_point, lines) if point is not None]
    rows = [
        (entity.id, key, time, step, value, experiment.id, run, *dataset)
        for time, value, step, run, *dataset in points
    ]
    for point in points:
        _wait_for_run(entity, point[3], experiment)
    entity.output.add("logged_model_metrics", rows)
    entity.note_lines(name, len(lines) - len(points))


def _point(line: bytes) -> Optional[Tuple[int, float, int, str, Optional[str], Optional[str]]]:
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
