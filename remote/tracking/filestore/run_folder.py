"""A run's folder as rows."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import COLUMNS, DeltaOutput
from remote.tracking.filestore.entity import FAULTS, Entity, open_entity
from remote.tracking.filestore.experiment_rows import Experiment
from remote.tracking.filestore.layout import META, RUN_PARTS, Artifacts
from remote.tracking.filestore.metric_history import History
from remote.tracking.filestore.scan import Unreadable
from remote.tracking.filestore.yaml_mapping import lifecycle, text, whole

RUN_NAME = "mlflow.runName"
#: As numbered by MLflow's RunStatus and SourceType.
STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
SOURCE = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL"}


def send_run(output: DeltaOutput, experiment: Experiment, name: str, artifacts: Artifacts) -> None:
    """Send the run in the folder of this name, unless it is as it was."""
    folder = experiment.folder
    entity = open_entity(
        output, schema.RUN, f"{folder.path}/{name}", parts=RUN_PARTS, experiment=folder
    )
    if entity is None:
        return
    try:
        meta = entity.meta()
        row = _row(entity.id, meta, experiment, artifacts)
    except FAULTS as error:
        entity.note(META, error)
        return
    tags = {**_tags_of(meta), **dict(entity.values("tags"))}
    row["name"] = row["name"] or tags.get(RUN_NAME)
    output.add("runs", [[row[column] for column in COLUMNS["runs"]]])
    output.add("params", [(*param, entity.id) for param in entity.values("params")])
    output.add("tags", [(*tag, entity.id) for tag in tags.items()])
    if not entity.is_unchanged:
        _send_metrics(entity, is_over=row["status"] not in ("RUNNING", "SCHEDULED"))
    _send_inputs(entity, experiment)
    _send_outputs(entity)
    entity.written(working=row["status"] == "RUNNING")


def _row(
    run: str, meta: Mapping[str, Any], experiment: Experiment, artifacts: Artifacts
) -> Dict[str, Optional[object]]:
    run.encode("utf-8")
    named = text(meta, "run_id", "run_uuid", default=run)
    if named != run:
        raise Unreadable(f"it is of another run, {named}")
    return {
        "run_uuid": run,
        "name": text(meta, "run_name", "name"),
        "source_type": _source_type(meta.get("source_type")),
        "source_name": text(meta, "source_name", default=""),
        "entry_point_name": text(meta, "entry_point_name", default=""),
        "user_id": text(meta, "user_id"),
        "status": _status(meta.get("status", 1)),
        "start_time": whole(meta, "start_time"),
        "end_time": whole(meta, "end_time"),
        "source_version": text(meta, "source_version", default=""),
        "lifecycle_stage": lifecycle(meta),
        "artifact_uri": artifacts.now(text(meta, "artifact_uri")),
        "experiment_id": experiment.id,
        "deleted_time": whole(meta, "deleted_time"),
    }


def _status(value: object) -> str:
    name = STATUS.get(value, "") if isinstance(value, int) else str(value)
    if name not in STATUS.values():
        raise Unreadable(f"its status is {str(value)[:20]}")
    return name


def _source_type(value: object) -> str:
    if isinstance(value, int):
        return SOURCE.get(value, "UNKNOWN")
    return str(value) if value in SOURCE.values() else "LOCAL" if value is None else "UNKNOWN"


def _tags_of(meta: Mapping[str, Any]) -> Dict[str, str]:
    """The first MLflow kept tags in the meta.yaml itself."""
    tags = meta.get("tags")
    pairs = tags if isinstance(tags, list) else []
    texts = ((text(pair, "key"), text(pair, "value")) for pair in pairs if isinstance(pair, dict))
    return {key: value or "" for key, value in texts if key}


def _send_metrics(entity: Entity, *, is_over: bool) -> None:
    latest: List[Tuple[object, ...]] = []
    for key in entity.tree.names("metrics"):
        name = f"metrics/{key}"
        history = History(entity.tree.path("metrics", key), is_over)
        try:
            key.encode("utf-8")
            for points in history:
                entity.output.add_points(key, entity.id, points)
        except FAULTS as error:
            entity.note(name, error)
        entity.note_lines(name, history.bad)
        if history.latest is not None:
            step, time, value, nan = history.latest
            latest.append((key, value, time, entity.id, step, nan))
    entity.output.add("latest_metrics", latest)


def _send_inputs(entity: Entity, experiment: Experiment) -> None:
    """Datasets and models that went into the run."""
    for identity, meta in entity.mappings("inputs"):
        try:
            source = text(meta, "source_id", default="") or ""
            if meta.get("source_type") == "MODEL":
                link = ("RUN_INPUT", entity.id, "MODEL_INPUT", source)
            else:
                link = ("DATASET", experiment.dataset_uuid(source), "RUN", entity.id)
            _send_link(entity, link, 0, meta)
        except Unreadable as error:
            entity.note(f"inputs/{identity}/{META}", error)


def _send_outputs(entity: Entity) -> None:
    for model, meta in entity.mappings("outputs"):
        link = ("RUN_OUTPUT", entity.id, "MODEL_OUTPUT", model)
        try:
            _send_link(entity, link, whole(meta, "step", default=0) or 0, meta)
        except Unreadable as error:
            entity.note(f"outputs/{model}/{META}", error)


def _send_link(
    entity: Entity, link: Tuple[str, str, str, str], step: int, meta: Mapping[str, Any]
) -> None:
    """The files have no id for a link: the same link always gets the same one."""
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, repr(link)))
    tags = meta.get("tags")
    tags = tags if isinstance(tags, dict) else {}
    rows = [(identity, key, text(tags, key, default="")) for key in tags]
    entity.output.add("inputs", [(identity, *link, step)])
    entity.output.add("input_tags", rows)
