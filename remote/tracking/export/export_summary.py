"""What an export did, and what it has to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List

LIMITS = (
    "Runs and logged models get new ids on the server; the tags remote.source_run and"
    " remote.source_model hold the ids they have here. Files such as MLmodel go as they are.",
    "Experiments and logged models are created at the server's time. What is deleted here stays there.",
)
"""What MLflow's client can't carry as it is; told with the first export to a server."""


@dataclass
class ExportSummary:
    """Counts of what was sent; `notes` are lines for the user."""

    server: str = ""
    new: Dict[str, int] = field(default_factory=dict)
    """Created on the server, by kind."""
    grown_runs: int = 0
    """Runs that were on the server before and were brought up to date."""
    metric_rows: int = 0
    files: int = 0
    bytes: int = 0
    notes: List[str] = field(default_factory=list)
    stays_here: List[str] = field(default_factory=list)
    """Records of kinds that aren't exported, with their number: `12 traces`."""

    def note(self, text: str) -> None:
        """Add a line, once."""
        if text not in self.notes:
            self.notes.append(text)
