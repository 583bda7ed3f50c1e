"""What a project's code imports that is neither Python's own nor the project's."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from remote.programs.cell_source import statements
from remote.programs.notebook import code_cells, source_of
from remote.programs.parameter import MALFORMED

#: Files that are read, and their largest size in bytes: it is a hint, which must not take long.
FILES = 500
LARGEST = 1 << 20


def imported_packages(root: Path) -> list[str]:
    """The names at the beginning of imports in the root and the folders right below it."""
    names: set[str] = set()
    patterns = ("*.py", "*/*.py", "*.ipynb", "*/*.ipynb")
    files = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    own = {path.stem for path in files} | {path.name for path in root.glob("*/") if path.is_dir()}
    for path in files[:FILES]:
        if path.name != "tasks.py" and not path.relative_to(root).parts[0].startswith("."):
            names.update(_imports(path))
    return sorted(names - own - set(sys.stdlib_module_names) - {"remote"}, key=str.lower)


def _imports(path: Path) -> Iterator[str]:
    """Of a file that can be read; of a notebook, from the cells that are Python."""
    try:
        text = path.read_text("utf-8") if path.stat().st_size <= LARGEST else ""
        if path.suffix == ".ipynb":
            sources = [source_of(cell) for cell in code_cells(json.loads(text))]
        else:
            sources = [text]
    except MALFORMED:
        return
    for statement in chain.from_iterable(statements(source) or () for source in sources):
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]
