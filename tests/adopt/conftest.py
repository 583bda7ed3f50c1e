"""A project that exists, and its adoption in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.adopt.command import Plan, plan

INDEX = ("remote-gpu-workflow>=0.1.0",)


@dataclass
class Existing:
    root: Path

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        return path

    def plan(self) -> Plan:
        return plan(self.root, INDEX)

    def after(self, name: str) -> str:
        """What a file would be."""
        return next(change.after for change in self.plan().changes if change.name == name)

    def adopt(self) -> None:
        """Write all that is planned."""
        for change in self.plan().changes:
            self.write(change.name, change.after)


@pytest.fixture
def existing(tmp_path: Path) -> Existing:
    root = tmp_path / 'it\'s a "project"'
    root.mkdir()
    return Existing(root)
