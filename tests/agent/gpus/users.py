"""Processes of other users of the machine, which take root to start."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from tests.agent.gpus.jobs import Start

#: Python of the system: other users can't reach one that lies in somebody's home.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")


#: Imported as root, run as another: a process that changes its user so is hidden in /proc
#: unless it asks not to be (PR_SET_DUMPABLE), and may not reach the Python that it came from.
BECOME = """if True:
    import array, ctypes, hashlib, os, shutil, socket, subprocess, sys
    import remote.agent.gpus.queue
    uid, code = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    exec(code)
"""


def as_user(start: Start, uid: int, code: str, *words: object) -> Any:
    return start(BECOME, uid, code, *words, stdin=subprocess.PIPE)


def lines_until(process: Any, word: str) -> list[str]:
    found = []
    for line in process.stdout:
        found.append(line)
        if line.startswith(word):
            return found
    raise AssertionError(f"never said {word}: {found}")
