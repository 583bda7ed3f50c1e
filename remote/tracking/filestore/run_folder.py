"""A run's folder as rows."""

from __future__ import annotations

import uuid
from typing import Any, List, Mapping, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import DeltaOutput, Entity, open_entity
from remote.tracking.filestore.experiment_rows import Experiment
from remote.tracking.filestore.layout import FAULTS, META, Unreadable
from remote.tracking.filestore.metric_history import History
from remote.tracking.filestore.yaml_mapping import lifecycle, read_mapping, status, text, whole

RUN_NAME = "mlflow.runName"
#: As numbered by MLflow's RunStatus and SourceType.
STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
SOURCE = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL"}


def send_run(output: DeltaOutput, experiment: Experiment, name: str) -> None:
    """Send the run in the folder of this name, unless it is as it was."""
    path = f"{experiment.folder}/{name}"
    parts = ("params", "tags", "metrics", "inputs", "outputs")
    entity = open_entity(output, schema.RUN, path, parts, experiment.place)
    if entity is None:
        return
    tags = dict(entity.values("tags"))
    try:
        meta = read_mapping(f"{path}/{META}")
        row = _row(name, meta, tags, experiment)
    except FAULTS as error:
        entity.note(META, error)
        return
    output.add("runs", [row])
    output.add("params", ((*param, name) for param in entity.values("params")))
    output.add("tags", ((*tag, name) for tag in tags.items()))
    state = STATUS[status(meta, STATUS)]
    if not entity.is_unchanged:
        _send_metrics(entity, is_over=state not in ("RUNNING", "SCHEDULED"))
    _send_links(entity, experiment)
    entity.written(working=state == "RUNNING")


def _row(
    run: str, meta: Mapping[str, Any], tags: Mapping[str, str], experiment: Experiment
) -> Tuple[object, ...]:
    named = text(meta, "run_id") or text(meta, "run_uuid", run)
    if named != run:
        raise Unreadable(f"it is of another run, {named}")
    return (
        run,
        text(meta, "run_name") or text(meta, "name") or tags.get(RUN_NAME),
        SOURCE.get(whole(meta, "source_type", 4) or 0, "UNKNOWN"),
        text(meta, "source_name", ""),
        text(meta, "entry_point_name", ""),
        text(meta, "user_id"),
        STATUS[status(meta, STATUS)],
        whole(meta, "start_time"),
        whole(meta, "end_time"),
        text(meta, "source_version", ""),
        lifecycle(meta),
        experiment.artifacts.now(text(meta, "artifact_uri")),
        experiment.id,
        whole(meta, "deleted_time"),
    )


def _send_metrics(entity: Entity, *, is_over: bool) -> None:
    latest: List[Tuple[object, ...]] = []
    for key in entity.names("metrics"):
        name = f"metrics/{key}"
        history = History(f"{entity.folder}/{name}", is_over)
        try:
            for points in history:
                entity.output.add_points(key, entity.id, points)
        except FAULTS as error:
            entity.note(name, error)
        entity.note_lines(name, history.bad)
        if history.latest is not None:
            step, time, value, nan = history.latest
            latest.append((key, entity.id, value, time, step, nan))
    entity.output.add("latest_metrics", latest)


def _send_links(entity: Entity, experiment: Experiment) -> None:
    """Datasets and models that went into the run, and models that came out of it."""
    for part in ("inputs", "outputs"):
        for identity, meta in entity.mappings(part):
            try:
                link = _link(entity.id, part, identity, meta, experiment)
                # The files have no id for a link: the same one always gets the same.
                number = str(uuid.uuid5(uuid.NAMESPACE_URL, repr(link)))
                tags = meta.get("tags")
                tags = tags if isinstance(tags, dict) else {}
                rows = [(number, key, text(tags, key, "")) for key in tags]
                entity.output.add("inputs", [(number, *link, whole(meta, "step", 0))])
                entity.output.add("input_tags", rows)
            except Unreadable as error:
                entity.note(f"{part}/{identity}/{META}", error)


def _link(
    run: str, part: str, identity: str, meta: Mapping[str, Any], experiment: Experiment
) -> Tuple[str, str, str, str]:
    if part == "outputs":
        return ("RUN_OUTPUT", run, "MODEL_OUTPUT", identity)
    source = text(meta, "source_id") or ""
    if meta.get("source_type") == "MODEL":
        return ("RUN_INPUT", run, "MODEL_INPUT", source)
    return ("DATASET", experiment.dataset_uuid(source), "RUN", run)
