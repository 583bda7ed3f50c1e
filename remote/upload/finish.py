"""The end of an upload: how runs ended, what was deleted, and what the base is to remember."""

from __future__ import annotations

import secrets

from remote.tracking import schema
from remote.tracking.merge.apply import DELETED_THERE
from remote.upload.answers import Rejected
from remote.upload.metrics import forget_recent
from remote.upload.models import Models
from remote.upload.runs import Runs
from remote.upload.session import Session


def end_all(session: Session, runs: Runs, models: Models) -> None:
    """How runs ended and what was deleted, now that nothing has to be added to them."""
    for things in (runs, models):
        for (kind, each), later in list(session.later.items()):
            made = session.base.made(kind, each)
            if kind != things.kind or made is None or made.gone:
                continue
            session.base.writing(kind, each, later)
            try:
                things.finish(made, later)
            except Rejected as error:
                session.refuse(kind, each, error.message)
                continue
            session.base.settle(kind, each, later)


def finish(session: Session, runs: Runs) -> None:
    """Only now: stopped before, the next delta starts from the old watermarks again."""
    source, base = session.source, session.base
    refused = {(each.kind, each.id) for each in session.refused}
    arrived = gone = False
    _mark_the_gone(session, runs)
    with base.together():
        for kind in schema.KINDS:
            for each, signature in source.entities(kind):
                arrived = True
                if (kind, each) not in refused:
                    session.accepted_again |= base.record(kind, each, signature)
            for each in source.gone(kind):
                gone = True
                base.run("UPDATE entity SET signature = NULL WHERE kind = ? AND id = ?", kind, each)
        for kind, each in refused:
            base.run("INSERT OR IGNORE INTO refused VALUES (?, ?)", kind, each)
            base.run("DELETE FROM entity WHERE kind = ? AND id = ?", kind, each)
        marks = {} if session.accepted_again else source.meta("watermarks")
        if arrived or gone or marks != base.get("watermarks") or base.get("token") is None:
            base.put("watermarks", marks)
            base.put("token", secrets.token_hex(8))
        base.put("mark", None if session.accepted_again else source.meta("mark"))
        forget_recent(session)


def _mark_the_gone(session: Session, runs: Runs) -> None:
    """Runs that were uploaded and are no longer at the source stay; a tag says so."""
    for each in session.source.gone(schema.RUN):
        made = session.base.made(schema.RUN, each)
        if made is None or made.ours is None or made.gone:
            continue
        body = {"run_id": made.ours, "key": DELETED_THERE, "value": session.name}
        try:
            session.server.post("runs/set-tag", body)
            session.deleted_there.append(each)
        except Rejected as error:
            if not runs.is_deleted(made):
                session.note(f"Run {each} can't be marked: {error.message}")
