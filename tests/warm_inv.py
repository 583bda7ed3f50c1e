"""A Python that has imported what `inv` needs, and becomes it: importing takes most commands' time."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from select import select

from tests.copied_python import LIVING

#: What only the start of a Python heeds.
AT_START = ("PYTHON", "LC_", "LANG")

LIMIT = 240.0  # seconds

#: Reads what is asked for, line by line, and answers with exit codes.
PROGRAM = LIVING + """
import gc, importlib, json
sys.path[0] = os.path.dirname(sys.argv[1])
from invoke.main import program
for name in sys.argv[2:]:
    importlib.import_module(name)

def become(argv, cwd, env, streams):
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, path in enumerate([os.devnull, *streams]):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.argv[:] = argv
    if argv[0] == "-c":
        exec(sys.argv.pop(1), {"__name__": "__main__"})
    else:
        program.run()
    sys.exit()

# A collection would have each child copy all that was imported.
gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if not child:
        live(become, *json.loads(line))
    print(exit_code_of(child), flush=True)
"""

#: What tasks import when they are called, most of them.
IMPORTS = (
    "remote.tasks",
    "remote.operations.jobs.submission",
    "remote.operations.sync",
    "remote.operations.tracking.pull_records",
    "remote.rpc.client",
)


def can_become(env: Mapping[str, str]) -> bool:
    """Whether a command with these variables is the same as one that is started anew.

    Commands of other threads run at the same time, and coverage isn't told of a fork.
    """
    mine, theirs = (
        {name: value for name, value in variables.items() if name.startswith(AT_START)}
        for variables in (os.environ, env)
    )
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and mine == theirs and "COVERAGE_PROCESS_CONFIG" not in env


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    imports: tuple[str, ...] = IMPORTS,
) -> tuple[int, str, str]:
    """The exit code of `inv` with these words, or of `python -c …`, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        for stream in streams:
            stream.touch()
        asked = [list(argv), str(cwd), dict(env), list(map(str, streams))]
        code = _ask(json.dumps(asked), imports)
        out, err = (stream.read_text() for stream in streams)
    return code, out, err


def _ask(line: str, imports: tuple[str, ...]) -> int:
    python = _python(imports)
    assert python.stdin and python.stdout
    print(line, file=python.stdin, flush=True)
    if not select([python.stdout], [], [], LIMIT)[0]:
        python.kill()
        _python.cache_clear()
        raise TimeoutError(f"still running after {LIMIT} s: {line[:200]}")
    return int(python.stdout.readline())


@functools.cache
def _python(imports: tuple[str, ...]) -> subprocess.Popen[str]:
    """It ends with who asks, whose end of its input the kernel closes."""
    inv = str(Path(sys.executable).with_name("inv"))
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, inv, *imports],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
