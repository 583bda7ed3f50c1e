"""An assessment of a trace (feedback, an expectation, an issue) as a row."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, Mapping, Optional, Tuple

from remote.tracking.filestore.scan import Unreadable
from remote.tracking.filestore.yaml_values import milliseconds, text


def assessment_row(identity: str, meta: Mapping[str, Any]) -> Dict[str, object]:
    """By column; the caller adds what is the trace's. Raises Unreadable."""
    kind, value, error = _judgement(meta)
    source = meta.get("source") if isinstance(meta.get("source"), dict) else {}
    created = milliseconds(meta, "create_time_ms", "create_time")
    aggregate, is_number = _aggregate(value)
    return {
        "assessment_id": text(meta, "assessment_id", default=identity),
        "name": text(meta, "assessment_name", "name", default=""),
        "assessment_type": kind,
        "value": _json(value),
        "error": _json(error) if error else None,
        "created_timestamp": created,
        "last_updated_timestamp": milliseconds(meta, "last_update_time_ms", "last_update_time")
        or created,
        "source_type": text(source or {}, "source_type", default="CODE"),
        "source_id": text(source or {}, "source_id"),
        "run_id": text(meta, "run_id"),
        "span_id": text(meta, "span_id"),
        "rationale": text(meta, "rationale"),
        "overrides": text(meta, "overrides"),
        "valid": meta.get("valid", True) is not False,
        "assessment_metadata": _json(meta["metadata"]) if meta.get("metadata") else None,
        "aggregate_value": aggregate,
        "is_numeric_value": is_number,
    }


def _judgement(meta: Mapping[str, Any]) -> Tuple[str, Any, Any]:
    """(type, value, error)."""
    for kind in ("feedback", "expectation", "issue"):
        content = meta.get(kind)
        if isinstance(content, dict):
            if kind == "issue":
                return kind, content, None
            return kind, _value(content), content.get("error")
    raise Unreadable("it says nothing")


def _value(content: Mapping[str, Any]) -> Any:
    """A list or mapping that somebody expects is written as JSON in the YAML."""
    packed = content.get("serialized_value")
    if not isinstance(packed, dict):
        return content.get("value")
    try:
        return json.loads(str(packed.get("value")))
    except (ValueError, RecursionError) as error:
        raise Unreadable("its value isn't JSON") from error


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable("its value isn't JSON") from error


def _aggregate(value: Any) -> Tuple[Optional[float], bool]:
    """What MLflow makes averages of: (number, it is one by itself)."""
    if isinstance(value, bool):
        return float(value), False
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None, False
        return (number, True) if math.isfinite(number) else (None, False)
    if isinstance(value, str) and value.strip().lower() in ("yes", "no"):
        return float(value.strip().lower() == "yes"), False
    return None, False
