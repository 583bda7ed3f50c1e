"""Figures of a tree of Python, so that anybody can repeat them: `python scripts/figures.py [FOLDER]`.

Needs nothing but Python. FOLDER is a checkout; its remote/ is measured, and its tests/ are counted.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Function = ast.FunctionDef | ast.AsyncFunctionDef
UNTYPED = re.compile(r"\b(?:[dD]ict|Mapping)\[str, Any\]")


@dataclass(frozen=True)
class Source:
    """One file: its text, its syntax, and how many of its lines hold a comment."""

    path: Path
    text: str
    tree: ast.Module
    comments: int

    @classmethod
    def read(cls, path: Path) -> Source:
        text = path.read_text(encoding="utf-8")
        return cls(path, text, ast.parse(text), _comment_lines(path))

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def _comment_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(token.type == tokenize.COMMENT for token in tokenize.tokenize(file.readline))


def length(function: Function) -> int:
    """Lines from `def` to the end, without decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def late_imports(tree: ast.Module) -> int:
    """Import statements within functions."""
    return len(
        {
            node
            for function in ast.walk(tree)
            if isinstance(function, Function)
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
    )


def sources(folder: Path) -> list[Source]:
    return [Source.read(path) for path in sorted(folder.rglob("*.py"))]


def names_used_twice(files: list[Source]) -> list[str]:
    """File names that stand in several folders, `__init__.py` aside."""
    counts = Counter(file.path.name for file in files if file.path.name != "__init__.py")
    return sorted(name for name, count in counts.items() if count > 1)


def count_tests(files: list[Source]) -> int:
    """Test functions; a parametrized one counts once."""
    return sum(function.name.startswith("test_") for file in files for function in file.functions())


def figures(root: Path) -> Iterator[tuple[str, str]]:
    """What is measured, and how much it is."""
    files = sources(root / "remote")
    lines = sum(file.lines for file in files)
    by_length = sorted(files, key=lambda file: file.lines)
    functions = sorted(
        (length(function), f"{file.path.relative_to(root)}:{function.name}")
        for file in files
        for function in file.functions()
    )
    twice = names_used_twice(files)
    comments = sum(file.comments for file in files)
    yield "files", f"{len(files)}"
    yield "lines", f"{lines}"
    yield "median file", f"{median(file.lines for file in files):.0f} lines"
    yield "longest file", f"{by_length[-1].lines} lines, {by_length[-1].path.relative_to(root)}"
    yield "functions", f"{len(functions)}"
    yield "median function", f"{median(size for size, _ in functions):.0f} lines"
    yield "longest function", "{} lines, {}".format(*functions[-1])
    yield "file names used twice", f"{len(twice)}{': ' if twice else ''}{' '.join(twice)}"
    yield "dict[str, Any]", f"{sum(len(UNTYPED.findall(file.text)) for file in files)}"
    yield "imports inside functions", f"{sum(late_imports(file.tree) for file in files)}"
    yield "comment lines", f"{comments} ({100 * comments / lines:.1f} %)"
    yield "test functions", f"{count_tests(sources(root / 'tests'))}"


def main(words: list[str]) -> None:
    for name, value in figures(Path(words[0] if words else ".")):
        print(f"{name:26}{value}")


if __name__ == "__main__":
    main(sys.argv[1:])
