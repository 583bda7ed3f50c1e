"""Spans as the OpenTelemetry protocol writes them in JSON. Pure.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

_TRACE = re.compile(r"tr-([0-9a-f]{32})\Z")
_REQUEST = "mlflow.traceRequestId"
_STATUS = {"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def trace_number(trace: str) -> str | None:
    """The OpenTelemetry id within MLflow's; None for a trace whose id came about otherwise."""
    found = _TRACE.match(trace)
    return found[1] if found else None


def request(spans: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def span(number: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """One span of trace `number`, from what MLflow keeps in its database."""
    made = {
        "traceId": number,
        "spanId": _hex(content["span_id"]),
        "name": content.get("name") or "",
        "startTimeUnixNano": str(content["start_time_unix_nano"]),
        "attributes": _attributes(content.get("attributes") or {}, encoded=True),
        "status": _status(content.get("status") or {}),
        "events": [_event(event) for event in content.get("events") or []],
        "links": [link for link in map(_link, content.get("links") or []) if link],
    }
    if content.get("parent_span_id"):
        made["parentSpanId"] = _hex(content["parent_span_id"])
    if content.get("end_time_unix_nano"):
        made["endTimeUnixNano"] = str(content["end_time_unix_nano"])
    return made


def _hex(text: str) -> str:
    """Ids are kept in base64; older versions kept them in hex."""
    if re.fullmatch(r"(0x)?[0-9a-f]{16}", text):
        return text[-16:]
    return base64.b64decode(text).hex()


def _status(status: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": _STATUS.get(status.get("code", ""), 0), "message": status.get("message") or ""}


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": event.get("name") or "",
        "timeUnixNano": str(event.get("time_unix_nano") or 0),
        "attributes": _attributes(event.get("attributes") or {}, encoded=False),
    }


def _link(link: Mapping[str, Any]) -> dict[str, Any] | None:
    number = trace_number(str(link.get("trace_id")))
    if number is None or not re.fullmatch("[0-9a-f]{16}", str(link.get("span_id"))):
        return None
    attributes = _attributes(link.get("attributes") or {}, encoded=False)
    return {"traceId": number, "spanId": link["span_id"], "attributes": attributes}


def _attributes(values: Mapping[str, Any], *, encoded: bool) -> list[dict[str, Any]]:
    """`encoded`: each value is JSON. The server writes the trace's id itself."""
    return [
        {"key": key, "value": _any(_decoded(value) if encoded else value)}
        for key, value in values.items()
        if key != _REQUEST
    ]


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _any(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, (int, float)):
        return {"doubleValue": _double(float(value))}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(each) for each in value]}}
    if isinstance(value, dict):
        pairs = [{"key": str(key), "value": _any(each)} for key, each in value.items()]
        return {"kvlistValue": {"values": pairs}}
    return {"stringValue": str(value)}


def _double(value: float) -> float | str:
    """JSON has no word for what isn't a number; protobuf's JSON has."""
    if value != value:
        return "NaN"
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, value)
