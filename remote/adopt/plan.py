"""All that an adoption would do to a project, and what to type after it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remote.adopt import dependencies, edits
from remote.adopt.change import Change, ManualStep
from remote.errors import ConfigError

#: What is looked for, in this order, to show how a job is started.
PROGRAMS = ("src/train.py", "train.py", "src/main.py", "main.py")
NOTEBOOKS = ("src/notebooks/*.ipynb", "notebooks/*.ipynb", "*.ipynb")

EDITORS = (
    edits.tasks_file,
    edits.makefile,
    edits.rsyncignore,
    edits.gitignore,
    edits.env_example,
    dependencies.requirements,
)


@dataclass
class Plan:
    """`notes` are told; `steps` are what the user has to type afterwards."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


def plan(root: Path, toolkit: Sequence[str]) -> Plan:
    """Raises ConfigError where the toolkit can't live in that project."""
    _refuse(root)
    whole = Plan()
    for edit in EDITORS:
        try:
            change = edit(root)
        except ManualStep as reason:
            whole.notes.append(f"Not done: {reason}.")
            continue
        whole.notes += [change.note] if change.note else []
        whole.changes += [change] if change.after != change.before else []
    try:
        whole.steps += dependencies.commands(root, toolkit)
    except ManualStep as reason:
        whole.notes.append(f"Not known: what jobs need, since {reason}.")
    whole.steps += first_commands(root)
    return whole


def first_commands(root: Path) -> list[str]:
    """How to begin, once all is there."""
    runners = {"uv.lock": "uv run ", "poetry.lock": "poetry run "}
    run = next((runner for name, runner in runners.items() if (root / name).is_file()), "")
    return [
        f"{run}inv sync-push --target user@host:/proj",
        f"{run}inv remote-run {_program(root)} --follow --pull",
    ]


def _program(root: Path) -> str:
    scripts = (root / name for name in PROGRAMS)
    notebooks = (path for pattern in NOTEBOOKS for path in sorted(root.glob(pattern)))
    program = next((path for path in (*scripts, *notebooks) if path.is_file()), None)
    return shlex.quote(program.relative_to(root).as_posix()) if program else "PROGRAM"


def _refuse(root: Path) -> None:
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}.", "Name the root of your project.")
    if root in (Path.home().resolve(), Path(root.anchor)):
        raise ConfigError(f"{root} is no project.", "Name the folder of one.")
    if (root / "remote" / "adopt").is_dir():
        raise ConfigError(
            f"{root} holds the toolkit itself, so there is nothing to adopt.",
            "Name another project: python -m remote adopt FOLDER",
        )
    for name in ("remote/__init__.py", "remote.py", "src/remote/__init__.py", "src/remote.py"):
        if (root / name).exists():
            raise ConfigError(
                f"The project has a module of its own, {name}, and the toolkit's is called"
                " remote too.",
                "Give yours another name first.",
            )
