"""`__main__` of the agent's zip file: the agent, the worker, or what runs inside a job."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["notebook"]:
        from remote.inside.notebook import main
    elif sys.argv[1:2] == ["program"]:
        from remote.inside.program import main
    else:
        from remote.host.main import main
    main()
