"""What a launcher has to do. A module with these names is one."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Protocol, Sequence, Tuple

#: What a launcher knows a worker by, as JSON: it lies in the job's folder.
Handle = Mapping[str, Any]


class Launcher(Protocol):
    """What keeps a worker alive without a connection, and knows whether it lives."""

    #: The programs that a server must have for it.
    PROGRAMS: Tuple[str, ...]

    #: Within how many seconds a worker begins; None where that is a scheduler's to decide.
    START_LIMIT: Optional[float]

    #: Where to look when it doesn't.
    START_HINT: str

    def start(self, job_id: str, argv: Sequence[str], setting: str) -> Handle:
        """Start a worker that lives on without us; raises JobError.

        `setting` is what the user's settings say for this launcher, such as a socket's name.
        """

    def alive(self, handle: Handle) -> Optional[bool]:
        """Whether the worker lives; None where that can't be told now.

        Only a clear no has a job declared lost: unknown is not absent.
        """

    def stop(self, handle: Handle) -> None:
        """Ask the worker to end its job (SIGTERM)."""

    def kill(self, handle: Handle) -> None:
        """End the worker and all below it at once."""

    def attach(self, handle: Handle, job_id: str) -> List[str]:
        """argv that shows the worker's terminal, to be run on the server; raises JobError."""

    def why_ended(self, handle: Handle) -> str:
        """Why the worker is gone, as far as the launcher can tell, for people."""
