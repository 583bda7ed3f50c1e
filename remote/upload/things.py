"""One run, logged model or trace after the other: made once, then kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from remote.upload.base import Made
from remote.upload.fields import Change, Fields, Known, three_way
from remote.upload.session import Session

ACTIVE, DELETED = "active", "deleted"


@dataclass(frozen=True)
class Found:
    """A thing on the server, and what it is like there."""

    made: Made
    fields: dict[str, Any]


class Things(Protocol):
    """A kind of thing: how it is read at the source, and read and written on the server."""

    kind: str
    provisional: Mapping[str, Any]
    """See three_way."""

    def theirs(self, identity: str) -> dict[str, Any]: ...

    def first(self, theirs: Fields) -> dict[str, Any]:
        """What it will be like when `make` has made it."""

    def find(self, identity: str) -> Found | None:
        """One that is on the server without the base's knowing."""

    def make(self, identity: str, theirs: Fields) -> Found: ...

    def read(self, identity: str, made: Made) -> Found | None:
        """None for one that the server has deleted for good."""

    def restore(self, identity: str, made: Made) -> bool:
        """False where that can't be done."""

    def write(self, identity: str, made: Made, change: Change) -> None: ...


def bring(session: Session, things: Things, identity: str) -> Made | None:
    """Makes it, or writes what changed at the source and not on the server.

    `end` and `lifecycle` wait in session.later. None for one that can't be written to.
    """
    base, kind = session.base, things.kind
    made = base.made(kind, identity)
    if made is not None and made.gone:
        return None
    theirs = things.theirs(identity)
    if made is not None and made.ours is not None:
        if base.settled(kind, identity) == theirs:
            return made
        found = things.read(identity, made)
        if found is None:
            base.lose(kind, identity)
            return None
    else:
        found = _make(session, things, identity, theirs)
    if not _awake(session, things, identity, found, theirs):
        return None
    _write(session, things, identity, found, theirs)
    return found.made


def _make(session: Session, things: Things, identity: str, theirs: Fields) -> Found:
    """Only if nobody has: an upload that was stopped, one whose base is lost, or another source."""
    kind = things.kind
    found = things.find(identity)
    if found is not None:
        # What it was begun with, if it was, is still known as what was being written.
        session.base.finish(kind, identity, found.made, {})
        return found
    first = things.first(theirs)
    session.base.begin(kind, identity, first)
    found = things.make(identity, theirs)
    session.base.finish(kind, identity, found.made, first)
    session.made(kind, identity)
    return found


def _awake(session: Session, things: Things, identity: str, found: Found, theirs: Fields) -> bool:
    """Nothing can be written to what is deleted, so it is restored first, if we had deleted it."""
    if found.fields.get("lifecycle") != DELETED:
        return True
    if theirs["lifecycle"] == DELETED:
        session.blocked.add((things.kind, identity))
        session.base.settle(things.kind, identity, theirs)
        return False
    known = session.base.values(things.kind, identity).get("lifecycle", Known())
    if not (known.holds(DELETED) and things.restore(identity, found.made)):
        session.block(things.kind, identity)
        return False
    found.fields["lifecycle"] = ACTIVE
    session.base.settle(things.kind, identity, {"lifecycle": ACTIVE})
    return True


def _write(session: Session, things: Things, identity: str, found: Found, theirs: Fields) -> None:
    base, kind = session.base, things.kind
    known = base.values(kind, identity)
    change = three_way(theirs, found.fields, known, provisional=things.provisional)
    for conflict in change.conflicts:
        session.conflict(kind, identity, *conflict)
    later: dict[str, Any] = {}
    for name in ("end", "lifecycle"):
        if name in change.write:
            later[name] = change.write.pop(name)
    if later:
        session.later[kind, identity] = later
    if change.write or change.drop:
        base.writing(kind, identity, change.write)
        things.write(identity, found.made, change)
    if change.write or change.drop or later:
        session.touched.add(identity)
    now = {name: value for name, value in theirs.items() if name not in later}
    base.settle(kind, identity, now, gone=[name for name in known if name not in theirs])
