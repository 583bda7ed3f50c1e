"""Runs: made with the id at the source as a tag, parameters and tags in batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from remote.tracking import schema
from remote.upload.answers import Rejected
from remote.upload.base import Made
from remote.upload.fields import Change, Fields, below
from remote.upload.session import Session, send_all
from remote.upload.source import Row
from remote.upload.things import ACTIVE, DELETED, Found

SOURCE_TAG = "remote.source_run"
PARENT_TAG = "mlflow.parentRunId"
_NAME_TAG = "mlflow.runName"
_RUNNING = "RUNNING"
_PAIRS_AT_ONCE = 100
_BYTES_AT_ONCE = 800_000
"""The server takes a million; the rest is for what surrounds the values."""


class Runs:
    kind = schema.RUN
    provisional: Mapping[str, Any] = {"end": _RUNNING}

    def __init__(self, session: Session) -> None:
        self.session, self.server, self.source = session, session.server, session.source
        self._index: dict[str, str] | None = None

    def parents_first(self, ids: Iterable[str]) -> list[str]:
        """The ids, each after the run that its tag names as its parent."""
        wanted = list(ids)
        parents = {identity: self._parent(identity) for identity in wanted}
        ordered: dict[str, None] = {}
        for identity in wanted:
            line = [identity]
            while parents.get(line[-1]) in parents and parents[line[-1]] not in line:
                line.append(str(parents[line[-1]]))
            ordered.update(dict.fromkeys(reversed(line)))
        return list(ordered)

    def theirs(self, identity: str) -> dict[str, Any]:
        row = self._row(identity)
        status = row["status"] or _RUNNING
        fields: dict[str, Any] = {"end": _end(status, row["end_time"])}
        fields["lifecycle"] = row["lifecycle_stage"] or ACTIVE
        tags = dict(self._tags(identity))
        name = row.get("name") or tags.get(_NAME_TAG)
        if name:
            fields["name"] = name
        tags.pop(_NAME_TAG, None)
        tags.pop(SOURCE_TAG, None)
        if PARENT_TAG in tags:
            tags[PARENT_TAG] = self.session.base.ours(schema.RUN, tags[PARENT_TAG]) or (
                tags[PARENT_TAG]
            )
        params = {
            row["key"]: row["value"] for row in self.source.rows("params", "run_uuid", identity)
        }
        fields.update((f"param:{key}", value) for key, value in params.items())
        fields.update((f"tag:{key}", value) for key, value in tags.items())
        return fields

    def first(self, theirs: Fields) -> dict[str, Any]:
        name = {"name": theirs["name"]} if "name" in theirs else {}
        return {**name, "end": _end(_RUNNING, None), "lifecycle": ACTIVE}

    def find(self, identity: str) -> Found | None:
        if self.session.first:
            ours = self._by_tag().get(identity)
            return self._get(ours) if ours else None
        return self._search(identity)

    def make(self, identity: str, theirs: Fields) -> Found:
        row = self._row(identity)
        body = {
            "experiment_id": self.session.experiments[row["experiment_id"]],
            "user_id": row["user_id"] or "",
            "start_time": row["start_time"] or 0,
            "run_name": theirs.get("name", ""),
            "tags": [{"key": SOURCE_TAG, "value": identity}],
        }
        answer = self.server.post("runs/create", body, already=lambda: self._answer(identity))
        return _found(answer["run"])

    def read(self, identity: str, made: Made) -> Found | None:
        return self._get(str(made.ours))

    def restore(self, identity: str, made: Made) -> bool:
        self.server.post("runs/restore", {"run_id": made.ours})
        return True

    def write(self, identity: str, made: Made, change: Change) -> None:
        if "name" in change.write:
            body = {"run_id": made.ours, "run_name": change.write["name"]}
            self.server.post("runs/update", body)
        params = _pairs(below(change.write, "param:"))
        tags = _pairs(below(change.write, "tag:"))
        for key, items in (("params", params), ("tags", tags)):
            for batch in batches(items, _PAIRS_AT_ONCE):
                self._log(identity, made, key, batch)
        for key in below(dict.fromkeys(change.drop), "tag:"):
            self.server.post("runs/delete-tag", {"run_id": made.ours, "key": key})

    def finish(self, made: Made, later: Mapping[str, Any]) -> None:
        """How it ended, and last that it is deleted."""
        if "end" in later:
            status, end = later["end"]
            body = {"run_id": made.ours, "status": status}
            self.server.post("runs/update", {**body, **({"end_time": end} if end else {})})
        if later.get("lifecycle") == DELETED:
            self.server.post("runs/delete", {"run_id": made.ours})

    def is_deleted(self, made: Made) -> bool:
        found = self._get(str(made.ours))
        return found is None or found.fields["lifecycle"] == DELETED

    def _log(self, identity: str, made: Made, key: str, batch: list[dict[str, Any]]) -> None:
        send_all(
            batch,
            lambda items: self.server.post("runs/log-batch", {"run_id": made.ours, key: items}),
            lambda item, error: self.session.note(
                f"{key[:-1].title()} {item['key']} of run {identity} is left out: {error.message}"
            ),
        )

    def _row(self, identity: str) -> Row:
        return self.source.row_of(schema.KINDS[schema.RUN], identity)

    def _tags(self, identity: str) -> Iterator[tuple[str, str]]:
        for row in self.source.rows("tags", "run_uuid", identity):
            yield row["key"], row["value"] or ""

    def _parent(self, identity: str) -> str | None:
        return dict(self._tags(identity)).get(PARENT_TAG)

    def _get(self, ours: str) -> Found | None:
        try:
            return _found(self.server.get("runs/get", run_id=ours)["run"])
        except Rejected as error:
            if error.is_gone:
                return None
            raise

    def _search(self, identity: str) -> Found | None:
        answer = self._answer(identity)
        return _found(answer["run"]) if answer else None

    def _answer(self, identity: str) -> dict[str, Any] | None:
        """As if it had just been made."""
        found = list(self._all_with(f"tags.`{SOURCE_TAG}` = '{identity}'"))
        return {"run": found[0]} if found else None

    def _by_tag(self) -> dict[str, str]:
        """Ids there -> here of all that were ever uploaded to the server."""
        if self._index is None:
            self._index = {}
            for run in self._all_with(f"tags.`{SOURCE_TAG}` LIKE '%'"):
                tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
                self._index.setdefault(tags[SOURCE_TAG], run["info"]["run_id"])
        return self._index

    def _all_with(self, condition: str) -> Iterator[dict[str, Any]]:
        body = {
            "experiment_ids": self.session.listed,
            "filter": condition,
            "run_view_type": "ALL",
        }
        yield from self.server.pages("runs/search", body, "runs")


def batches(items: list[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    """Parts that are small enough for one request."""
    part: list[dict[str, Any]] = []
    size = 0
    for item in items:
        more = len(json.dumps(item)) + 2
        if part and (len(part) == count or size + more > _BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


def _pairs(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _end(status: str, time: int | None) -> list[Any]:
    """A run that was taken up again still has the time when it had ended."""
    return [status, None if status == _RUNNING else time]


def _found(run: Mapping[str, Any]) -> Found:
    info, data = run["info"], run.get("data", {})
    ended = info.get("end_time")
    fields = {
        "name": info.get("run_name", ""),
        "end": _end(info["status"], int(ended) if ended else None),
        "lifecycle": info["lifecycle_stage"],
    }
    for part, kind in (("params", "param"), ("tags", "tag")):
        for pair in data.get(part, []):
            fields[f"{kind}:{pair['key']}"] = pair.get("value", "")
    fields.pop(f"tag:{_NAME_TAG}", None)
    return Found(Made(info["run_id"], info["experiment_id"], info["artifact_uri"], False), fields)
