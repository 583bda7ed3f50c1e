"""Which experiment of the server is which of the source's; made where it is missing.

One that was uploaded before is known by the base, or by its tag; another is matched by name with an
active one.
A name that a deleted experiment of the server has is taken, so the new one is called after the
source too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remote.tracking import schema
from remote.upload.answers import Rejected
from remote.upload.fields import below, three_way
from remote.upload.session import Session, send_all
from remote.upload.source import Row
from remote.upload.things import ACTIVE, DELETED

SOURCE_TAG = "remote.source_experiment"
_KIND = schema.EXPERIMENT
_TAKEN = "RESOURCE_ALREADY_EXISTS"


def place_experiments(session: Session) -> None:
    """Fills session.experiments, and writes what changed in those that were there."""
    wanted = _wanted(session)
    changed = {identity for identity, _ in session.source.entities(_KIND)}
    if wanted or changed:
        places = _Places(session, changed)
        for row in session.source.all("experiments"):
            if isinstance(row["experiment_id"], int) and isinstance(row["name"], str):
                if row["experiment_id"] in wanted or str(row["experiment_id"]) in changed:
                    places.place(row)
            else:
                reason = "it has no number or no name"
                session.refuse(_KIND, row["experiment_id"], reason)


def delete_experiments(session: Session) -> None:
    """Those deleted at the source, once all that belongs to them is written."""
    for (kind, identity), later in list(session.later.items()):
        if kind == _KIND:
            ours = session.experiments[int(identity)]
            session.base.writing(kind, identity, later)
            send_all(
                [ours],
                lambda ids: session.server.post("experiments/delete", {"experiment_id": ids[0]}),
                lambda _, error: session.note(f"Experiment {ours} stays: {error.message}"),
            )
            session.base.settle(kind, identity, later)


def _wanted(session: Session) -> set[int]:
    """The experiments of the runs, models and traces that came."""
    found: set[int] = set()
    for kind in (schema.RUN, schema.MODEL, schema.TRACE):
        table = schema.KINDS[kind].table
        found.update(int(owner) for owner in session.source.owners(table, "experiment_id"))
    return found


class _Places:
    def __init__(self, session: Session, changed: set[str]) -> None:
        self.changed = changed
        self.session, self.server, self.base = session, session.server, session.base
        listed = self.server.pages("experiments/search", {"view_type": "ALL"}, "experiments")
        self.here: dict[str, dict[str, Any]] = {each["experiment_id"]: each for each in listed}
        session.listed = list(self.here)
        self.names = {each["name"]: each for each in self.here.values()}
        self.tags = {_fields(each).get(f"tag:{SOURCE_TAG}"): each for each in self.here.values()}
        rows = self.base.run("SELECT ours FROM experiment")
        self.taken = {ours for (ours,) in rows}

    def place(self, row: Row) -> None:
        theirs, name = row["experiment_id"], row["name"]
        link = self.base.one(
            "SELECT ours, last_name, given_name FROM experiment WHERE theirs = ? AND created IS ?",
            theirs,
            _created(row),
        )
        if link and link[0] in self.here:
            ours = link[0]
            given = link[2] if link[1] == name else name
        else:
            # Values of another experiment, which had this number or is gone for good.
            self.base.run("DELETE FROM value WHERE kind = ? AND id = ?", _KIND, str(theirs))
            ours, given = self._match(row) or self._make(row)
        self.taken.add(ours)
        self.base.run(
            "INSERT OR REPLACE INTO experiment VALUES (?, ?, ?, ?, ?)",
            theirs,
            _created(row),
            ours,
            name,
            given,
        )
        self._bring_up_to_date(row, ours, given)

    def _match(self, row: Row) -> tuple[str, str] | None:
        tagged = self.tags.get(self._tag_of(row))
        if tagged and tagged["experiment_id"] not in self.taken:
            return tagged["experiment_id"], tagged["name"]
        here = self.names.get(row["name"])
        active = row["lifecycle_stage"] == ACTIVE
        if active and here and here["lifecycle_stage"] == ACTIVE:
            if here["experiment_id"] not in self.taken:
                return here["experiment_id"], row["name"]
        return None

    def _tag_of(self, row: Row) -> str:
        return f"{self.session.name}/{row['experiment_id']}/{_created(row)}"

    def _make(self, row: Row) -> tuple[str, str]:
        """Its id and its name, which is another one where that is taken."""
        name, number = row["name"], 1
        given = name
        while given in self.names:
            number += 1
            more = self.session.name if number == 2 else f"{self.session.name} {number - 1}"
            given = f"{name} ({more})"
        if given != name:
            self.session.note(f"The name {name} is taken on the server: it is {given} there.")
        try:
            tag = {"key": SOURCE_TAG, "value": self._tag_of(row)}
            self.server.post("experiments/create", {"name": given, "tags": [tag]})
        except Rejected as error:
            # Made by the first try of this request, or by somebody at this moment.
            if error.code != _TAKEN:
                raise
        answer = self.server.get("experiments/get-by-name", experiment_name=given)
        made: dict[str, Any] = answer["experiment"]
        self.here[made["experiment_id"]] = self.names[given] = made
        self.session.listed.append(made["experiment_id"])
        self.session.made(_KIND, given)
        first = {"name": given, "lifecycle": ACTIVE}
        self.base.settle(_KIND, str(row["experiment_id"]), first)
        return made["experiment_id"], given

    def _bring_up_to_date(self, row: Row, ours: str, given: str) -> None:
        """A deleted one is restored only if we had deleted it; deletion waits."""
        session, identity = self.session, str(row["experiment_id"])
        theirs = self._theirs(row, given)
        mine = _fields(self.here[ours])
        known = self.base.values(_KIND, identity)
        change = three_way(theirs, mine, known)
        if change.write.get("lifecycle") == ACTIVE:
            self.server.post("experiments/restore", {"experiment_id": ours})
            mine["lifecycle"] = change.write.pop("lifecycle")
        if mine["lifecycle"] == DELETED:
            session.blocked.add((_KIND, identity))
            return
        session.experiments[row["experiment_id"]] = ours
        for conflict in change.conflicts:
            session.conflict(_KIND, identity, *conflict)
        if change.write.get("lifecycle"):
            session.later[_KIND, identity] = {"lifecycle": change.write.pop("lifecycle")}
        self.base.writing(_KIND, identity, change.write)
        if "name" in change.write:
            self._rename(identity, ours, change.write["name"])
        self._tag(ours, below(change.write, "tag:"), below(dict.fromkeys(change.drop), "tag:"))
        later = session.later.get((_KIND, identity), {})
        now = {name: value for name, value in theirs.items() if name not in later}
        self.base.settle(_KIND, identity, now, [name for name in known if name not in theirs])

    def _theirs(self, row: Row, given: str) -> dict[str, Any]:
        identity = row["experiment_id"]
        rows = self.session.source.rows("experiment_tags", "experiment_id", identity)
        tags = {f"tag:{tag['key']}": tag["value"] or "" for tag in rows}
        tags.pop(f"tag:{SOURCE_TAG}", None)
        if str(identity) not in self.changed:
            # Nothing of it has changed, so only its own row came.
            tags = {
                name: value
                for name, value in self.base.settled(_KIND, str(identity)).items()
                if name.startswith("tag:")
            }
        return {"name": given, "lifecycle": row["lifecycle_stage"] or ACTIVE, **tags}

    def _rename(self, identity: str, ours: str, name: str) -> None:
        try:
            self.server.post("experiments/update", {"experiment_id": ours, "new_name": name})
        except Rejected as error:
            if error.code != _TAKEN:
                raise
            mine = self.here[ours]["name"]
            self.session.conflict(_KIND, identity, "name", mine, name)

    def _tag(self, ours: str, write: Mapping[str, str], drop: Mapping[str, Any]) -> None:
        for key, value in write.items():
            body = {"experiment_id": ours, "key": key, "value": value}
            send_all(
                [body],
                lambda bodies: self.server.post("experiments/set-experiment-tag", bodies[0]),
                lambda body, error: self.session.note(
                    f"Tag {body['key']} of experiment {ours} is left out: {error.message}"
                ),
            )
        for key in drop:
            body = {"experiment_id": ours, "key": key}
            self.server.post("experiments/delete-experiment-tag", body)


def _created(row: Row) -> Any:
    """Old stores don't say it."""
    return row.get("creation_time")


def _fields(answer: Mapping[str, Any]) -> dict[str, Any]:
    tags = {f"tag:{tag['key']}": tag.get("value", "") for tag in answer.get("tags", [])}
    return {"name": answer["name"], "lifecycle": answer["lifecycle_stage"], **tags}
