"""Logged models: made with the id at the source as a tag. Servers before MLflow 3 have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from remote.tracking import schema
from remote.upload.answers import Rejected
from remote.upload.base import Made
from remote.upload.fields import Change, Fields, below
from remote.upload.session import Session, send_all
from remote.upload.source import Row
from remote.upload.things import ACTIVE, DELETED, Found

SOURCE_TAG = "remote.source_model"
_STATUS = {
    1: "LOGGED_MODEL_PENDING",
    2: "LOGGED_MODEL_READY",
    3: "LOGGED_MODEL_UPLOAD_FAILED",
}
_PENDING = _STATUS[1]


class Models:
    kind = schema.MODEL
    provisional: Mapping[str, Any] = {"end": _PENDING}

    def __init__(self, session: Session) -> None:
        self.session, self.server, self.source = session, session.server, session.source
        self._index: dict[str, dict[str, Any]] | None = None

    def theirs(self, identity: str) -> dict[str, Any]:
        row = self._row(identity)
        fields: dict[str, Any] = {"end": [_STATUS.get(row["status"], _PENDING)]}
        fields["lifecycle"] = row["lifecycle_stage"] or ACTIVE
        for tag in self.source.rows("logged_model_tags", "model_id", identity):
            fields[f"tag:{tag['tag_key']}"] = tag["tag_value"]
        for param in self.source.rows("logged_model_params", "model_id", identity):
            fields[f"param:{param['param_key']}"] = param["param_value"]
        fields.pop(f"tag:{SOURCE_TAG}", None)
        return fields

    def first(self, theirs: Fields) -> dict[str, Any]:
        return {"end": [_PENDING], "lifecycle": ACTIVE}

    def find(self, identity: str) -> Found | None:
        if self.session.first:
            model = self._by_tag().get(identity)
            return _found(model) if model else None
        answer = self._answer(identity)
        return _found(answer["model"]) if answer else None

    def make(self, identity: str, theirs: Fields) -> Found:
        row = self._row(identity)
        run = row["source_run_id"]
        body = {
            "experiment_id": self.session.experiments[row["experiment_id"]],
            "name": row["name"],
            "model_type": row["model_type"] or "",
            "source_run_id": (run and self.session.base.ours(schema.RUN, run)) or "",
            "tags": [{"key": SOURCE_TAG, "value": identity}],
        }
        answer = self.server.post("logged-models", body, already=lambda: self._answer(identity))
        return _found(answer["model"])

    def read(self, identity: str, made: Made) -> Found | None:
        """A deleted one doesn't say that it is: it is only shown to who asks for it."""
        for stage, query in ((ACTIVE, {}), (DELETED, {"allow_deleted": "true"})):
            try:
                answer = self.server.get(f"logged-models/{made.ours}", **query)
                return _found(answer["model"], stage)
            except Rejected as error:
                if not error.is_gone:
                    raise
        return None

    def restore(self, identity: str, made: Made) -> bool:
        """The API has no way to."""
        return False

    def write(self, identity: str, made: Made, change: Change) -> None:
        path = f"logged-models/{made.ours}"
        for part, end in (("param", "params"), ("tag", "tags")):
            pairs = below(change.write, f"{part}:")
            self._send(identity, part, str(made.ours), end, pairs)
        for key in below(dict.fromkeys(change.drop), "tag:"):
            self.server.delete(f"{path}/tags/{quote(key, safe='')}")

    def finish(self, made: Made, later: Mapping[str, Any]) -> None:
        if "end" in later:
            body = {"model_id": made.ours, "status": later["end"][0]}
            self.server.patch(f"logged-models/{made.ours}", body)
        if later.get("lifecycle") == DELETED:
            self.server.delete(f"logged-models/{made.ours}")

    def _send(self, identity: str, part: str, ours: str, key: str, pairs: Fields) -> None:
        items = [{"key": name, "value": value} for name, value in pairs.items()]
        method = self.server.post if part == "param" else self.server.patch
        send_all(
            items,
            lambda some: method(f"logged-models/{ours}/{key}", {"model_id": ours, key: some}),
            lambda item, error: self.session.note(
                f"{part.title()} {item['key']} of logged model {identity} is left out:"
                f" {error.message}"
            ),
        )

    def _row(self, identity: str) -> Row:
        return self.source.row_of(schema.KINDS[schema.MODEL], identity)

    def _answer(self, identity: str) -> dict[str, Any] | None:
        """As if it had just been made. Deleted ones aren't found: the server doesn't list them."""
        found = list(self._tagged(f"= '{identity}'"))
        return {"model": found[0]} if found else None

    def _by_tag(self) -> dict[str, dict[str, Any]]:
        """Ids there -> answers of all that were ever uploaded to the server."""
        if self._index is None:
            self._index = {}
            for model in self._tagged("LIKE '%'"):
                tags = {tag["key"]: tag["value"] for tag in model["info"]["tags"]}
                self._index.setdefault(tags[SOURCE_TAG], model)
        return self._index

    def _tagged(self, condition: str) -> Iterator[dict[str, Any]]:
        body = {
            "experiment_ids": self.session.listed,
            "filter": f"tags.`{SOURCE_TAG}` {condition}",
        }
        yield from self.server.pages("logged-models/search", body, "models")


def _found(model: Mapping[str, Any], stage: str = ACTIVE) -> Found:
    info, data = model["info"], model.get("data", {})
    fields: dict[str, Any] = {"end": [info["status"]], "lifecycle": stage}
    for pair in info.get("tags", []):
        fields[f"tag:{pair['key']}"] = pair.get("value", "")
    for pair in data.get("params", []):
        fields[f"param:{pair['key']}"] = pair.get("value", "")
    made = Made(info["model_id"], info["experiment_id"], info["artifact_uri"], False)
    return Found(made, fields)
