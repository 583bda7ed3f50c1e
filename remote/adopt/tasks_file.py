"""`tasks.py`: written, or given the lines that add our tasks to the project's own."""

from __future__ import annotations

import re
from pathlib import Path

from remote.adopt import block
from remote.adopt.change import Change, ManualStep, read, template

#: Where Invoke looks for tasks, in its order.
NAMES = ("tasks.py", "tasks/__init__.py")

LINES = (
    "import remote.tasks  # noqa: E402",
    "",
    "# A task above keeps its name, where one of remote.tasks is called the same.",
    "namespace = remote.tasks.joined(globals())",
)

BESIDE = (
    "To have ours beside it, write `from remote.tasks import namespace` into a file remote_tasks.py"
    " and type inv -c remote_tasks in the place of inv"
)


def tasks_file(root: Path) -> Change:
    """The file that `inv` reads, with our tasks; raises ManualStep."""
    name = next((name for name in NAMES if (root / name).exists()), NAMES[0])
    before = read(root, name)
    if before is None:
        return Change(name, None, template("tasks.py"))
    own = block.outside(before)
    if _imports("remote", own):
        return Change(name, before, before)
    if not _imports("invoke|fabric", own):
        raise ManualStep(f"{name} holds no tasks of Invoke's. {BESIDE}")
    return Change(name, before, block.replace(before, LINES))


def _imports(packages: str, text: str) -> bool:
    """Whether a module imports one of these packages, or a part of one, at its top level."""
    return bool(re.search(rf"^(?:from|import)[ \t]+(?:{packages})\b", text, re.MULTILINE))
