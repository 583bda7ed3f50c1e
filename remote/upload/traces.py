"""Traces, under the ids they have: spans, tags, assessments. Servers before MLflow 3 have none.

What programs wrote (`info`) takes the place of what the server has; tags and assessments are
merged. Spans go first: the server works out a trace's times from them, until it is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from remote.tracking import schema
from remote.upload import assessments, spans
from remote.upload.answers import NoSuchCall, Rejected
from remote.upload.base import Made
from remote.upload.fields import Change, Fields, below
from remote.upload.server import API_3
from remote.upload.session import Session, send_all
from remote.upload.source import Row
from remote.upload.things import Found

_NAME = "mlflow.traceName"
_ARTIFACTS = "mlflow.artifactLocation"
_SERVERS_TAGS = (
    _ARTIFACTS,
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
)
_FINALIZED = "mlflow.trace.infoFinalized"
_LINKS = {"mlflow.sourceRun": schema.RUN, "mlflow.modelId": schema.MODEL}
_PROMOTED = {
    "mlflow.trace.tokenUsage": (
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation_input_tokens_above_1hr",
    ),
    "mlflow.trace.cost": ("input_cost", "output_cost", "total_cost"),
}
"""Metadata that newer stores keep in columns of their own."""
_SESSION = "mlflow.trace.session"
_SPANS_AT_ONCE = 4_000_000  # bytes
_SHOWN = 4096
"""Characters of a tag that the server shows."""


class Traces:
    kind = schema.TRACE
    provisional: Mapping[str, Any] = {}

    def __init__(self, session: Session) -> None:
        self.session, self.server, self.source = session, session.server, session.source

    def theirs(self, identity: str) -> dict[str, Any]:
        row = self._row(identity)
        fields: dict[str, Any] = {"info": self._digest(identity)}
        for tag in self.source.rows("trace_tags", "request_id", identity):
            if tag["key"] not in _SERVERS_TAGS:
                fields[f"tag:{tag['key']}"] = tag["value"] or ""
        if row.get("trace_name"):
            fields[f"tag:{_NAME}"] = row["trace_name"]
        for each in self._assessments(identity):
            fields[f"assessment:{each['assessment_id']}"] = assessments.from_row(
                each, self._runs_of(each)
            )
        return fields

    def first(self, theirs: Fields) -> dict[str, Any]:
        tags = {name: value for name, value in theirs.items() if name.startswith("tag:")}
        return {"info": theirs["info"], **tags}

    def find(self, identity: str) -> Found | None:
        return self._get(identity, {})

    def make(self, identity: str, theirs: Fields) -> Found:
        self._send_info(identity, below(theirs, "tag:"))
        found = self._get(identity, {"info": theirs["info"]})
        assert found is not None
        return found

    def read(self, identity: str, made: Made) -> Found | None:
        return self._get(identity, self.session.base.settled(self.kind, identity))

    def restore(self, identity: str, made: Made) -> bool:
        return False

    def write(self, identity: str, made: Made, change: Change) -> None:
        path = f"{API_3}traces/{identity}"
        if "info" in change.write:
            self._send_info(identity, {})
        for key, value in below(change.write, "tag:").items():
            self._tag(path, key, value)
        dropped = dict.fromkeys(change.drop)
        for key in below(dropped, "tag:"):
            self.server.delete(f"{path}/tags", {"key": key})
        self._assess(identity, path, below(change.write, "assessment:"))
        for each in below(dropped, "assessment:"):
            self.server.delete(f"{path}/assessments/{each}")

    def _tag(self, path: str, key: str, value: str) -> None:
        send_all(
            [{"key": key, "value": value}],
            lambda bodies: self.server.patch(f"{path}/tags", bodies[0]),
            lambda body, error: self.session.note(
                f"Tag {body['key']} of {path.rpartition('/')[2]} is left out: {error.message}"
            ),
        )

    def _assess(self, identity: str, path: str, write: Mapping[str, Any]) -> None:
        if not write:
            return
        rows = {each["assessment_id"]: each for each in self._assessments(identity)}
        there = below(self._get(identity, {}).fields, "assessment:")  # type: ignore[union-attr]
        for each, fields in write.items():
            if each in there:
                body = assessments.change(identity, each, fields)
                self.server.patch(f"{path}/assessments/{each}", body)
            else:
                body = assessments.creation(rows[each], fields)
                self.server.post(
                    f"{path}/assessments", body, already=lambda: self._assessed(identity, each)
                )

    def _assessed(self, identity: str, assessment: str) -> dict[str, Any] | None:
        found = self._get(identity, {})
        return {} if found and f"assessment:{assessment}" in found.fields else None

    def _send_info(self, identity: str, tags: Mapping[str, str]) -> None:
        row = self._row(identity)
        self._send_spans(identity, self.session.experiments[row["experiment_id"]])
        info = self._info(row, identity)
        self.server.post(f"{API_3}traces", {"trace": {"trace_info": {**info, "tags": dict(tags)}}})

    def _info(self, row: Row, identity: str) -> dict[str, Any]:
        experiment = self.session.experiments[row["experiment_id"]]
        info = {
            "trace_id": identity,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment},
            },
            "request_time": assessments.moment(row["timestamp_ms"]),
            "state": row["status"],
            "trace_metadata": self._metadata(row, identity),
        }
        if row["execution_time_ms"] is not None:
            info["execution_duration"] = f"{row['execution_time_ms'] / 1000:.3f}s"
        for column in ("client_request_id", "request_preview", "response_preview"):
            if row.get(column) is not None:
                info[column] = row[column]
        return info

    def _metadata(self, row: Row, identity: str) -> dict[str, str]:
        metadata: dict[str, str] = {}
        for key, names in _PROMOTED.items():
            values = {name: row[name] for name in names if row.get(name) is not None}
            if values:
                metadata[key] = json.dumps(values)
        if row.get("session_id"):
            metadata[_SESSION] = row["session_id"]
        for each in self.source.rows("trace_request_metadata", "request_id", identity):
            if each["key"] != _FINALIZED:
                metadata[each["key"]] = each["value"] or ""
        for key, kind in _LINKS.items():
            if key in metadata:
                metadata[key] = self.session.base.ours(kind, metadata[key]) or metadata[key]
        return metadata

    def _send_spans(self, identity: str, experiment: str) -> None:
        rows = self.source.rows("spans", "trace_id", identity)
        number = spans.trace_number(identity)
        if number is None:
            if self.source.row("spans", "trace_id", identity):
                self.session.note(f"The spans of trace {identity} can't be uploaded with its id.")
            return
        try:
            for part in _parts(spans.span(number, json.loads(row["content"])) for row in rows):
                self.server.send_spans(experiment, spans.request(part))
        except (NoSuchCall, Rejected) as error:
            self.session.not_carried["spans"] = None
            self.session.note(f"The server takes no spans: {error.message}")

    def _digest(self, identity: str) -> str:
        """Over all that programs write, the experiment by its number here."""
        row = self._row(identity)
        experiment = self.session.experiments.get(row["experiment_id"])
        digest = hashlib.blake2b(digest_size=12)
        parts: list[Any] = [experiment, *(row[name] for name in sorted(row))]
        parts += sorted(self._metadata(row, identity).items())
        digest.update(repr(parts).encode("utf-8", "replace"))
        for each in self.source.rows("spans", "trace_id", identity):
            digest.update(str(each["content"]).encode("utf-8", "replace"))
        return digest.hexdigest()

    def _assessments(self, identity: str) -> list[Row]:
        """As they were made: one that overrides another one comes after it."""
        rows = self.source.rows("assessments", "trace_id", identity)
        return sorted(rows, key=lambda row: row["created_timestamp"])

    def _runs_of(self, row: Row) -> dict[str, str]:
        named = assessments.run_of(row)
        ours = named and self.session.base.ours(schema.RUN, named)
        return {named: ours} if named and ours else {}

    def _row(self, identity: str) -> Row:
        return self.source.row_of(schema.KINDS[schema.TRACE], identity)

    def _get(self, identity: str, known: Fields) -> Found | None:
        """`known`: what was last written, which says what the server shows cut short or not at all."""
        try:
            answer = self.server.get(f"{API_3}traces/{identity}")["trace"]["trace_info"]
        except Rejected as error:
            if error.is_gone:
                return None
            raise
        fields = {"info": known["info"]} if "info" in known else {}
        tags = answer.get("tags", {})
        for key, value in tags.items():
            written = str(known.get(f"tag:{key}", ""))
            whole = len(value) < _SHOWN or not written.startswith(value)
            fields[f"tag:{key}"] = value if whole else written
        for each in answer.get("assessments", []):
            fields[f"assessment:{each['assessment_id']}"] = assessments.from_answer(each)
        experiment = answer["trace_location"]["mlflow_experiment"]["experiment_id"]
        return Found(Made(identity, experiment, tags.get(_ARTIFACTS, ""), False), fields)


def _parts(made: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for each in made:
        part.append(each)
        size += len(json.dumps(each))
        if size > _SPANS_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def link_to_runs(session: Session) -> None:
    """Traces that belong to a run otherwise than by having been made in it."""
    wanted: dict[str, list[str]] = {}
    for row in session.source.all("entity_associations"):
        run = session.base.ours(schema.RUN, row["destination_id"])
        trace = session.base.ours(schema.TRACE, row["source_id"])
        if (row["source_type"], row["destination_type"]) == ("trace", "run") and run and trace:
            wanted.setdefault(run, []).append(trace)
    for run, traces in wanted.items():
        for start in range(0, len(traces), 100):
            body = {"run_id": run, "trace_ids": traces[start : start + 100]}
            session.server.post("traces/link-to-run", body)
