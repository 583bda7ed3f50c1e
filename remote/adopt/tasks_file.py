"""`tasks.py`: written, or given the lines that add our tasks to the project's own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from remote.adopt import block
from remote.adopt.part import ByHand, Part, given, read

#: Where Invoke looks for tasks, in its order.
NAMES = ("tasks.py", "tasks/__init__.py")

#: The variables that Invoke takes for a module's own collection, in its order.
COLLECTIONS = ("ns", "namespace")

ELSEWHERE = (
    "To have ours beside it, write `from remote.tasks import namespace` into a file remote_tasks.py"
    " and type inv -c remote_tasks in the place of inv"
)

_IMPORT = "from remote.tasks import namespace as remote_tasks  # noqa: E402"
_COLLECT = (
    "import sys  # noqa: E402",
    "",
    "from invoke import Collection  # noqa: E402",
    "",
    _IMPORT,
    "",
    "# All tasks above, as Invoke finds them without a collection.",
    "namespace = Collection.from_module(sys.modules[__name__])",
    "",
)


def tasks_file(root: Path) -> Part:
    """The file that `inv` reads, with our tasks; raises ByHand."""
    part = Part()
    name = next((each for each in NAMES if (root / each).exists()), NAMES[0])
    before = read(root, name)
    if before is None:
        part.change(name, None, given("tasks.py"))
        return part
    tree = _parsed(name, block.around(before))
    if not _imports(tree, "remote"):
        part.change(name, before, block.put(before, _lines(name, tree)))
        part.remarks += _kept(name, tree)
    return part


def _parsed(name: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise ByHand(f"{name} can't be read as Python ({error})") from None


def _lines(name: str, tree: ast.Module) -> list[str]:
    found = set(_assigned(tree))
    own = next((each for each in COLLECTIONS if each in found), "")
    if own:
        return [_IMPORT, "", *_adding(own)]
    if not _imports(tree, "invoke") and not _imports(tree, "fabric"):
        raise ByHand(f"{name} holds no tasks of Invoke's. {ELSEWHERE}")
    return [*_COLLECT, *_adding("namespace")]


def _adding(collection: str) -> list[str]:
    return [
        "# A task above keeps its name, where ours is called the same.",
        "for _name in remote_tasks.task_names:",
        f"    if _name not in {collection}.task_names and _name not in {collection}.collections:",
        f"        {collection}.add_task(remote_tasks[_name], name=_name)",
    ]


def _kept(name: str, tree: ast.Module) -> list[str]:
    from remote.tasks import namespace

    taken = sorted(set(_tasks(tree)) & set(namespace.task_names))
    if not taken:
        return []
    return [f"{name} has tasks of its own called {', '.join(taken)}: they stay, ours are left out."]


def _imports(tree: ast.Module, package: str) -> bool:
    """Whether the module imports a package, or a part of it, at its top level."""
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if any(name.split(".")[0] == package for name in names):
            return True
    return False


def _assigned(tree: ast.Module) -> Iterator[str]:
    """The names that the module gives a value at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            places = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (place.id for place in places if isinstance(place, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)


def _tasks(tree: ast.Module) -> Iterator[str]:
    """The names of the functions that are tasks, as they are typed."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            words = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
            if words & {"task", "invoke.task", "fabric.task"}:
                yield node.name.strip("_").replace("_", "-")
