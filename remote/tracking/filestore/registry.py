"""A registered model's folder as rows: itself, its versions, tags and aliases."""

from __future__ import annotations

import re
from typing import Any, Mapping, Tuple

from remote.tracking import schema
from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.entity import Thing, look
from remote.tracking.filestore.layout import META, MODELS, Artifacts
from remote.tracking.filestore.scan import Unreadable, subfolders
from remote.tracking.filestore.yaml_mapping import read_mapping
from remote.tracking.filestore.yaml_values import text, whole

_VERSION = re.compile(r"version-([1-9][0-9]{0,8})\Z", re.ASCII)


def send_registered_model(output: Output, root: str, name: str, artifacts: Artifacts) -> None:
    folder = f"{root}/{MODELS}/{name}"
    try:
        versions = [each for each in subfolders(folder)[0] if _VERSION.match(each)]
    except OSError:
        versions = []  # and what follows says why
    thing = look(
        output,
        schema.REGISTERED_MODEL,
        "registered_models",
        folder,
        parts=("tags", "aliases", *versions),
        meta=META,
        inside=MODELS,
    )
    if thing is None:
        return
    try:
        row = _row(thing.id, read_mapping(thing.tree.path("", META)))
    except (OSError, Unreadable, UnicodeError) as error:
        thing.note(META, error)
        return
    output.add("registered_models", [row])
    output.add("registered_model_tags", [(*each, name) for each in thing.values("tags")])
    for version in versions:
        _send_version(thing, version, artifacts)
    _send_aliases(thing)
    thing.sent()


def _row(name: str, meta: Mapping[str, Any]) -> Tuple[object, ...]:
    name.encode("utf-8")
    named = text(meta, "name", default=name)
    if named != name:
        raise Unreadable(f"it is of another model, {named}")
    times = whole(meta, "creation_timestamp"), whole(meta, "last_updated_timestamp")
    return (name, *times, text(meta, "description"))


def _send_version(thing: Thing, folder: str, artifacts: Artifacts) -> None:
    number = int(folder[len("version-") :])
    try:
        meta = read_mapping(thing.tree.path(folder, META))
        row = (
            thing.id,
            number,
            whole(meta, "creation_timestamp"),
            whole(meta, "last_updated_timestamp"),
            text(meta, "description"),
            text(meta, "user_id"),
            text(meta, "current_stage", default="None"),
            artifacts.now(text(meta, "source")),
            text(meta, "run_id"),
            text(meta, "status", default="READY"),
            text(meta, "status_message"),
            text(meta, "run_link"),
            artifacts.now(text(meta, "storage_location")),
        )
    except (OSError, Unreadable) as error:
        thing.note(f"{folder}/{META}", error)
        return
    tags = [(*each, thing.id, number) for each in thing.values(folder, "tags/")]
    thing.output.add("model_versions", [row])
    thing.output.add("model_version_tags", tags)


def _send_aliases(thing: Thing) -> None:
    rows = []
    for alias, version in thing.values("aliases"):
        try:
            rows.append((alias, whole({"version": version.strip()}, "version"), thing.id))
        except Unreadable as error:
            thing.note(f"aliases/{alias}", error)
    thing.output.add("registered_model_aliases", rows)
