"""A trace's folder as rows. MLflow 2 wrote `request_id`, `timestamp_ms` …, MLflow 3 `trace_id` …"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, Dict, Mapping, Optional, Tuple

from remote.tracking import schema
from remote.tracking.filestore.assessments import assessment_row
from remote.tracking.filestore.columns import COSTS, TOKENS
from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.entity import Thing, look
from remote.tracking.filestore.experiment_rows import Experiment
from remote.tracking.filestore.layout import TRACE_META, TRACE_PARTS, TRACES, Artifacts
from remote.tracking.filestore.scan import Unreadable
from remote.tracking.filestore.yaml_mapping import read_mapping
from remote.tracking.filestore.yaml_values import fits, milliseconds, text, whole

NAME, LOCATION = "mlflow.traceName", "mlflow.artifactLocation"
SESSION, USAGE, COST = "mlflow.trace.session", "mlflow.trace.tokenUsage", "mlflow.trace.cost"
_WORKING = "IN_PROGRESS"
_NAME_LENGTH, _SESSION_LENGTH = 4096, 250


def send_trace(output: Output, experiment: Experiment, name: str, artifacts: Artifacts) -> None:
    place = experiment.place
    folder = f"{place.path}/{TRACES}/{name}"
    thing = look(
        output,
        schema.TRACE,
        "traces",
        folder,
        parts=TRACE_PARTS,
        meta=TRACE_META,
        inside=place.inside,
    )
    if thing is None:
        return
    tags, metadata = dict(thing.values("tags")), dict(thing.values("request_metadata"))
    if LOCATION in tags:
        tags[LOCATION] = str(artifacts.now(tags[LOCATION]))
    try:
        meta = read_mapping(thing.tree.path("", TRACE_META))
        moment = milliseconds(meta, "timestamp_ms", "request_time")
        row = _row(thing.id, meta, experiment, moment, tags, metadata)
    except (OSError, Unreadable, UnicodeError) as error:
        thing.note(TRACE_META, error)
        return
    output.add("trace_info", [row])
    output.add("trace_tags", [(*each, thing.id) for each in tags.items()])
    output.add("trace_request_metadata", [(*each, thing.id) for each in metadata.items()])
    _send_assessments(thing, experiment, moment)
    thing.sent(working=_status(meta) == _WORKING)


def _row(
    trace: str,
    meta: Mapping[str, Any],
    experiment: Experiment,
    moment: int,
    tags: Dict[str, str],
    metadata: Dict[str, str],
) -> Tuple[object, ...]:
    """Takes out of `tags` and `metadata` what the database has columns for."""
    trace.encode("utf-8")
    named = text(meta, "trace_id", "request_id", default=trace)
    if named != trace:
        raise Unreadable(f"it is of another trace, {named}")
    name, session = tags.pop(NAME, None), metadata.pop(SESSION, None)
    usage, cost = _object(metadata.pop(USAGE, None)), _object(metadata.pop(COST, None))
    return (
        trace,
        experiment.id,
        moment,
        whole(meta, "execution_time_ms", "execution_duration_ms"),
        _status(meta),
        text(meta, "client_request_id"),
        text(meta, "request_preview"),
        text(meta, "response_preview"),
        name and name[:_NAME_LENGTH],
        session and session[:_SESSION_LENGTH],
        *(_count(usage.get(each)) for each in TOKENS),
        *(_amount(cost.get(each)) for each in COSTS),
    )


def _status(meta: Mapping[str, Any]) -> str:
    return text(meta, "status", "state", default="OK") or "OK"


def _send_assessments(thing: Thing, experiment: Experiment, moment: int) -> None:
    rows = []
    for identity, meta in thing.mappings("assessments", ".yaml"):
        try:
            row = assessment_row(identity, meta)
        except Unreadable as error:
            thing.note(f"assessments/{identity}.yaml", error)
            continue
        place = {
            "trace_id": thing.id,
            "experiment_id": experiment.id,
            "trace_timestamp_ms": moment,
        }
        rows.append({**row, **place})
    thing.output.add_named("assessments", rows)


def _object(value: Optional[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(value or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: object) -> Optional[int]:
    """A whole number, also one written as 12.0 or "12"."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
        is_whole = number.is_finite() and abs(number) < 2**64 and number == int(number)
    except (InvalidOperation, ValueError):
        return None
    return int(number) if is_whole and fits(int(number)) else None


def _amount(value: object) -> Optional[float]:
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
