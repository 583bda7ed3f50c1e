"""Verbs on MLflow's records: what changed there, and what is given to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from remote.job.fields import any_json, flag, integer, list_of, mapping_of, nested, optional, text
from remote.job.limits import MESSAGE, NAME, VERY_MANY, job_id, names
from remote.job.messages.base import Request, target_key


@dataclass(frozen=True)
class DeltaAnswer:
    """What goes with a delta, whose bytes follow unless it is `empty`."""

    root: str = field(metadata=text(NAME))
    empty: bool = field(default=True, metadata=flag())
    """Whether the target has no store yet."""
    ended: Tuple[str, ...] = field(default=(), metadata=list_of(job_id(), VERY_MANY))
    """The jobs whose records and results were whole before this began."""
    others: Mapping[str, Optional[str]] = field(
        default_factory=dict, metadata=mapping_of(optional(text(NAME)), 10_000, key=text(NAME))
    )
    """Stores that it has beside its own, each with a mark that changes when the store does."""


@dataclass(frozen=True)
class DeltaRequest(Request[DeltaAnswer]):
    """Write what changed in a store since `known` (remote.tracking.merge.known)."""

    verb = "delta"
    answer = DeltaAnswer

    key: str = field(metadata=target_key())
    known: Mapping[str, Any] = field(metadata=any_json(1 << 40))
    store: str = field(default="", metadata=text(NAME))
    """The target's own where it is empty."""
    registry: bool = field(default=False, metadata=flag())
    compress: bool = field(default=False, metadata=flag())


@dataclass(frozen=True)
class RefusedRecord:
    """A record that was left out, and why."""

    kind: str = field(metadata=text(64))
    id: str = field(metadata=text(NAME))
    reason: str = field(metadata=text(MESSAGE))


@dataclass(frozen=True)
class ExperimentLink:
    """One experiment of one side, and that of the other which it is merged with."""

    theirs: int = field(metadata=integer(0, 1 << 63))
    theirs_created: Optional[int] = field(metadata=optional(integer(-(1 << 63), 1 << 63)))
    ours: int = field(metadata=integer(0, 1 << 63))
    ours_created: Optional[int] = field(metadata=optional(integer(-(1 << 63), 1 << 63)))
    last_name: Optional[str] = field(default=None, metadata=optional(text(NAME)))
    base_name: Optional[str] = field(default=None, metadata=optional(text(NAME)))


@dataclass(frozen=True)
class ArtifactPair:
    """A folder of artifacts below the root of the giver, and of the one who is given."""

    source: str = field(metadata=text(NAME))
    target: str = field(metadata=text(NAME))


_LINKS = list_of(nested(ExperimentLink), VERY_MANY)


@dataclass(frozen=True)
class TakeAnswer:
    """What the target made of what it was given."""

    changed: Tuple[str, ...] = field(default=(), metadata=names())
    """What is there otherwise than it was last seen; then nothing was done."""
    new_runs: int = field(default=0, metadata=integer(0, 1 << 62))
    refused: Tuple[RefusedRecord, ...] = field(
        default=(), metadata=list_of(nested(RefusedRecord), VERY_MANY)
    )
    left_out: Tuple[str, ...] = field(default=(), metadata=names())
    """Tables and columns that have content, and no place in the target's store."""
    artifacts: Tuple[ArtifactPair, ...] = field(
        default=(), metadata=list_of(nested(ArtifactPair), VERY_MANY)
    )
    plain: bool = field(default=False, metadata=flag())
    """Whether no link leads to where the artifacts go."""
    links: Tuple[ExperimentLink, ...] = field(default=(), metadata=_LINKS)
    """As of now."""


@dataclass(frozen=True)
class TakeRequest(Request[TakeAnswer]):
    """Merge the records that were sent to the folder `name`: a project's id, and a number."""

    verb = "take"
    answer = TakeAnswer

    key: str = field(metadata=target_key())
    name: str = field(metadata=text(48, re.compile(r"[0-9a-f]{48}")))
    source: str = field(metadata=text(NAME))
    """Who gives them."""
    seen: Mapping[str, Mapping[str, str]] = field(
        metadata=mapping_of(mapping_of(text(64), VERY_MANY), 100)
    )
    """The signature under which the giver last saw each of the things, by kind and id."""
    known: Tuple[ExperimentLink, ...] = field(default=(), metadata=_LINKS)
    """The links between experiments as of then."""
    registry: bool = field(default=False, metadata=flag())
    """Whether registered models are among them."""
    python: str = field(default="", metadata=text(NAME))
