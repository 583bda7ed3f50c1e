"""All that an adoption would do to a project, and what to type after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from remote.adopt import dependencies, lists
from remote.adopt.makefile import makefile
from remote.adopt.part import ByHand, Part
from remote.adopt.source import Source
from remote.adopt.tasks_file import tasks_file
from remote.errors import ConfigError

#: What is looked for, in this order, to show how a job is started.
PROGRAMS = ("src/train.py", "train.py", "src/main.py", "main.py")
NOTEBOOKS = ("src/notebooks/*.ipynb", "notebooks/*.ipynb", "*.ipynb")


def plan(root: Path, source: Source) -> Part:
    """Raises ConfigError where the toolkit can't live in that project."""
    _refuse(root)
    whole = Part()
    parts: list[Callable[[], Part]] = [
        lambda: tasks_file(root),
        lambda: makefile(root),
        lambda: lists.rsyncignore(root),
        lambda: lists.gitignore(root),
        lambda: lists.env_example(root),
        lambda: dependencies.for_this_machine(root, source),
        lambda: dependencies.for_jobs(root),
    ]
    for part in parts:
        try:
            whole.add(part())
        except ByHand as reason:
            whole.remarks.append(f"Not done: {reason}.")
    whole.steps += first_commands(root)
    return whole


def first_commands(root: Path) -> list[str]:
    """How to begin, once all is there."""
    start = {"uv.lock": "uv run ", "poetry.lock": "poetry run "}
    run = next((word for name, word in start.items() if (root / name).is_file()), "")
    return [
        f"{run}inv sync-push --target user@host:/proj",
        f"{run}inv remote-run {_program(root)} --follow --pull",
    ]


def _program(root: Path) -> str:
    import shlex

    scripts = (root / name for name in PROGRAMS)
    notebooks = (path for pattern in NOTEBOOKS for path in sorted(root.glob(pattern)))
    found = next((path for path in (*scripts, *notebooks) if path.is_file()), None)
    return shlex.quote(found.relative_to(root).as_posix()) if found else "PROGRAM"


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
    for name in ("remote", "remote.py", "src/remote", "src/remote.py"):
        if (root / name).exists() and name != "remote" or (root / name / "__init__.py").exists():
            raise ConfigError(
                f"The project has a module of its own in {name}, and the toolkit's is called"
                " remote too.",
                "Give yours another name first.",
            )
