"""`inv` typed in the tests' own process: what takes half a second to start is not started each time."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from invoke.main import program

from remote import next_steps
from remote.tasks.own_parser import OwnParserTask
from tests.conftest import Command, ProjectFolder


def typed(project: ProjectFolder, *words: str, **env: str) -> Command:
    """What `inv` says and how it ends, in the root of a project, without a terminal."""
    argv, out, err = ["inv", *words], io.StringIO(), io.StringIO()
    with _in(project, argv, env), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = 0
        try:
            program.run(argv)
        except SystemExit as exit:
            code = int(exit.code or 0)
        except Exception:
            # As the hook of a process would.
            code = 1
            err.write(traceback.format_exc())
    return Command(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _in(project: ProjectFolder, argv: list[str], env: dict[str, str]) -> Iterator[None]:
    before = Path.cwd()
    OwnParserTask.taken.clear()
    next_steps.name_target("")
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        mock.patch.dict(os.environ, {**project.env, **env}),
        open(os.devnull) as nothing,
        mock.patch.object(sys, "stdin", nothing),
    ):
        os.chdir(project.root)
        try:
            yield
        finally:
            os.chdir(before)
            next_steps.name_target("")
