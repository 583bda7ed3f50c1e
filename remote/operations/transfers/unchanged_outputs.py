"""Outputs that need no rsync: on the server and here they are as when a pull last found nothing to
bring. Whatever was done to either since, rsync is asked again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remote.errors import ProtocolError
from remote.folders import mark_of
from remote.job import fields
from remote.job.struct import Struct
from remote.operations.transfers.arrivals import Arrivals
from remote.session import TargetSession
from remote.transport.rsync_tally import Tally


class NotedMarks(Struct):
    """`targets/<key>.outputs.json`: the marks of both sides by the output's path."""

    marks: Mapping[str, str] = fields.mapping_of(
        fields.text(fields.NAME), fields.MANY, key=fields.text(fields.NAME), default={}
    )


@dataclass(frozen=True)
class UnchangedOutputs:
    """`paths` are those that are as they were; `current` has the marks of both sides as a pull finds
    them, before it brings anything."""

    file: Path
    root: Path
    current: Mapping[str, str]
    noted: NotedMarks
    paths: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls, server: TargetSession, marks: Mapping[str, str], paths: Iterable[str]
    ) -> UnchangedOutputs:
        """Those among `paths`; `marks` are what the agent tells of them."""
        file, root = server.file.with_suffix(".outputs.json"), server.project.root
        pairs = {path: (marks.get(path), mark_of(root / path)) for path in paths}
        current = {path: " ".join(map(str, pair)) for path, pair in pairs.items() if all(pair)}
        noted = NotedMarks()
        # They only spare transfers.
        with contextlib.suppress(ProtocolError):
            noted = NotedMarks.from_file(file) or noted
        same = {path for path, pair in current.items() if noted.marks.get(path) == pair}
        return cls(file, root, current, noted, same)

    def add(self, path: str, tally: Tally) -> None:
        """Take an output as unchanged where rsync has looked at it and found nothing to bring.

        One with folders that are links of the user's is brought by several transfers.
        """
        left = tally.problems or tally.left or tally.acting
        is_still = tally.files and not (tally.anything or left)
        if is_still and path in self.current and not Arrivals.of(self.root / path).links:
            self.paths.add(path)

    def write(self) -> None:
        """Note them for the next pull."""
        now = NotedMarks({path: self.current[path] for path in self.paths})
        if now != self.noted:
            now.to_file(self.file)
