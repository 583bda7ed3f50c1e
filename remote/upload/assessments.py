"""Assessments of traces, between rows, fields and requests. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

_RUN = "mlflow.assessment.sourceRunId"
_MASK = {"feedback": "feedback", "expectation": "expectation"}


def from_row(row: Mapping[str, Any], runs: Mapping[str, str]) -> dict[str, Any]:
    """What can be changed of it. `runs` are ids there -> here of what its metadata may name."""
    metadata = json.loads(row["assessment_metadata"] or "{}")
    if metadata.get(_RUN) in runs:
        metadata[_RUN] = runs[metadata[_RUN]]
    return {
        "type": row["assessment_type"],
        "name": row["name"],
        "value": json.loads(row["value"]),
        "error": _without_empty(json.loads(row["error"] or "{}")),
        "rationale": row["rationale"] or "",
        "metadata": {key: str(value) for key, value in metadata.items()},
    }


def run_of(row: Mapping[str, Any]) -> str | None:
    """The run at the source that its metadata names."""
    named: str | None = json.loads(row["assessment_metadata"] or "{}").get(_RUN)
    return named


def from_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same of one on the server."""
    kind = next(key for key in ("feedback", "expectation", "issue") if key in answer)
    content = answer[kind]
    value = content.get("value")
    if "serialized_value" in content:
        value = json.loads(content["serialized_value"]["value"])
    return {
        "type": kind,
        "name": answer["assessment_name"],
        "value": content if kind == "issue" else value,
        "error": _without_empty(content.get("error", {})) if kind == "feedback" else {},
        "rationale": answer.get("rationale", ""),
        "metadata": answer.get("metadata", {}),
    }


def creation(row: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that makes it, under the id it has."""
    made = {
        "assessment_id": row["assessment_id"],
        "trace_id": row["trace_id"],
        "source": {"source_type": row["source_type"], "source_id": row["source_id"] or ""},
        "create_time": moment(row["created_timestamp"]),
        "last_update_time": moment(row["last_updated_timestamp"]),
        "span_id": row["span_id"] or "",
        "overrides": row["overrides"] or "",
        "valid": True,
        **_said(fields),
    }
    return {"assessment": {key: value for key, value in made.items() if value != ""}}


def change(trace: str, identity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that changes it."""
    mask = ["assessmentName", "rationale", "metadata"]
    mask += [_MASK[fields["type"]]] if fields["type"] in _MASK else []
    content = {"assessment_id": identity, "trace_id": trace, **_said(fields)}
    return {"assessment": content, "update_mask": ",".join(mask)}


def moment(milliseconds: int) -> str:
    """As protobuf writes a time in JSON."""
    seconds, rest = divmod(int(milliseconds), 1000)
    text = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z"


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "assessment_name": fields["name"],
        "rationale": fields["rationale"],
        "metadata": fields["metadata"],
        fields["type"]: _content(fields),
    }


def _content(fields: Mapping[str, Any]) -> dict[str, Any]:
    value = fields["value"]
    if fields["type"] == "issue":
        return dict(value)
    if fields["type"] == "expectation" and isinstance(value, (list, dict)):
        text = {"serialization_format": "JSON_FORMAT", "value": json.dumps(value)}
        return {"serialized_value": text}
    return {"value": value, **({"error": fields["error"]} if fields["error"] else {})}


def _without_empty(error: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in error.items() if value}
