"""Push a project to a GPU server over rsync, run it there in tmux, pull the results back.

From Python: `from remote import Target`; see remote.api.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remote.api import Job as Job
    from remote.api import Target as Target

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Only who asks for it waits for it; servers have this file, and not the other.
    if name in ("Job", "Target"):
        from remote import api

        return getattr(api, name)
    raise AttributeError(f"module 'remote' has no attribute {name!r}")
