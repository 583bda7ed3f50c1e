"""What keeps a job's worker alive without a connection: a row for each way to do so."""

from __future__ import annotations

from typing import Dict

from remote.agent.launchers import tmux
from remote.agent.launchers.base import Launcher

__all__ = ["DEFAULT", "LAUNCHERS"]

LAUNCHERS: Dict[str, Launcher] = {"tmux": tmux}

#: That of a job which names none.
DEFAULT = "tmux"
