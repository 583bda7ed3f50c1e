"""Verbs on MLflow's records: what changed there, and what is given to it."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import INTEGER, MANY, MESSAGE, NAME, VERY_MANY
from remote.job.messages.base import SAME_TWICE, TargetRequest
from remote.job.outputs import STATES
from remote.job.struct import Struct

#: Bytes of a delta: some hundred million values of metrics.
LONGEST_DELTA = 64 << 30


#: What remote.folders.mark_of says.
_MARK = re.compile(r"[0-9a-f ]*")


class DeltaAnswer(Struct):
    """What goes with a delta, whose bytes follow unless it is `empty`."""

    root: str = fields.text(NAME)
    empty: bool = fields.flag(default=True)
    """Whether the target has no store yet."""
    size: int = fields.integer(0, LONGEST_DELTA, default=0)
    """Bytes of the delta before it is compressed."""
    ended: Tuple[str, ...] = fields.list_of(fields.job_id(), VERY_MANY, default=())
    """The jobs whose records and results were whole before this began."""
    unpulled: Mapping[str, str] = fields.mapping_of(
        fields.text(MESSAGE), VERY_MANY, key=fields.job_id(), default={}
    )
    """What ended jobs wrote where no pull brings it from."""
    others: Mapping[str, Optional[str]] = fields.mapping_of(
        fields.optional(fields.text(NAME)), 10_000, key=fields.text(NAME), default={}
    )
    """Stores that it has beside its own, each with a mark that changes when the store does."""
    outside: Tuple[str, ...] = fields.names(default=())
    """Stores elsewhere that jobs' runs went to, which nothing brings."""
    outputs: Mapping[str, str] = fields.mapping_of(
        fields.choice(*STATES), MANY, key=fields.text(NAME), default={}
    )
    """What is at the path of each output that was asked for."""
    marks: Mapping[str, str] = fields.mapping_of(
        fields.text(64, _MARK), MANY, key=fields.text(NAME), default={}
    )
    """Of each that was asked for: changes with what is in it; empty where that can't be told."""
    fault: str = fields.text(MESSAGE, default="")
    """Why the target's own store, which is there, could not be read."""
    moved: str = fields.text(MESSAGE, default="")
    """What was done to the records of a target that was moved, in words."""


class DeltaRequest(TargetRequest[DeltaAnswer], verb="delta", answer=DeltaAnswer):
    """Write what changed in a store since `known` (remote.tracking.merge.pull_state)."""

    known: Mapping[str, Any] = fields.any_json(None)
    store: str = fields.text(NAME, default="")
    """The target's own where it is empty."""
    registry: bool = fields.flag(default=False)
    compress: bool = fields.flag(default=False)
    outputs: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """Paths of outputs to look at."""
    marked: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """Those of which a mark is wanted."""


class RefusedRecord(Struct):
    """A record that was left out, and why."""

    kind: str = fields.text(64)
    id: str = fields.text(NAME)
    reason: str = fields.text(MESSAGE)


class ExperimentLink(Struct):
    """One experiment of one side, and that of the other which it is merged with."""

    theirs: int = fields.integer(0, INTEGER)
    theirs_created: Optional[int] = fields.optional(fields.integer(-INTEGER - 1, INTEGER))
    ours: int = fields.integer(0, INTEGER)
    ours_created: Optional[int] = fields.optional(fields.integer(-INTEGER - 1, INTEGER))
    last_name: Optional[str] = fields.optional(fields.text(NAME), default=None)
    base_name: Optional[str] = fields.optional(fields.text(NAME), default=None)


class ArtifactFolder(Struct):
    """A folder of artifacts that goes along with records: `remote` below the root of the giver,
    `local` below the one of who takes it. It need not exist: a run without artifacts has none."""

    remote: str = fields.path()
    local: str = fields.path()


class TakeAnswer(Struct):
    """What the target made of what it was given."""

    changed: Tuple[str, ...] = fields.names(default=())
    """What is there otherwise than it was last seen; then nothing was done."""
    new_runs: int = fields.integer(0, 1 << 62, default=0)
    refused: Tuple[RefusedRecord, ...] = fields.list_of(
        fields.nested(RefusedRecord), VERY_MANY, default=()
    )
    left_out: Tuple[str, ...] = fields.names(default=())
    """Tables and columns that have content, and no place in the target's store."""
    obstacle: str = fields.line(MESSAGE, default="")
    """Why the records could not be brought to the schema of the target's store."""
    artifacts: Tuple[ArtifactFolder, ...] = fields.list_of(
        fields.nested(ArtifactFolder), VERY_MANY, default=()
    )
    plain: bool = fields.flag(default=False)
    """Whether no link leads to where the artifacts go."""
    links: Tuple[ExperimentLink, ...] = fields.list_of(
        fields.nested(ExperimentLink), VERY_MANY, default=()
    )
    """As of now."""


class TakeRequest(TargetRequest[TakeAnswer], verb="take", answer=TakeAnswer, repeat=SAME_TWICE):
    """Merge the records that were sent to the folder `name`: a project's id, and a number."""

    name: str = fields.text(48, re.compile(r"[0-9a-f]{48}"))
    source: str = fields.text(NAME)
    """Who gives them."""
    seen: Mapping[str, Mapping[str, str]] = fields.mapping_of(
        fields.mapping_of(fields.text(64), VERY_MANY), 100
    )
    """The signature under which the giver last saw each of the things, by kind and id."""
    known: Tuple[ExperimentLink, ...] = fields.list_of(
        fields.nested(ExperimentLink), VERY_MANY, default=()
    )
    """The links between experiments as of then."""
    registry: bool = fields.flag(default=False)
    """Whether registered models are among them."""
    python: str = fields.text(NAME, default="")


class ArtifactsAnswer(Struct):
    """Files of artifacts, links too, by their paths below the target's root: bytes, and where they
    were asked for, the SHA-256 of each one's content (remote.files.content_sum)."""

    files: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 62), VERY_MANY, key=fields.path()
    )
    sums: Mapping[str, str] = fields.mapping_of(
        fields.text(64, fields.HEX), VERY_MANY, key=fields.path(), default={}
    )
    closed: Mapping[str, str] = fields.mapping_of(
        fields.text(MESSAGE), VERY_MANY, key=fields.path(), default={}
    )
    """What can't be looked at there, and why: what may lie in it is unknown."""


class ArtifactsRequest(TargetRequest[ArtifactsAnswer], verb="artifacts", answer=ArtifactsAnswer):
    """Tell what lies in folders of artifacts, or of these files."""

    paths: Tuple[str, ...] = fields.list_of(fields.path(), VERY_MANY)
    sums: bool = fields.flag(default=False)
