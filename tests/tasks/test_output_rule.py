"""Nothing but remote/output.py, which escapes, writes to standard output or error on the client."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

REMOTE = ROOT / "remote"

#: What runs on servers and in jobs, where the job's log is the standard output.
SERVER = ("agent", "agent_main.py", "runtime", "transport/skip_banner.py")

#: Who shows a job's log with its colours.
SHOWS_COLOURS = ("operations/jobs/follow.py", "output.py")


def client_modules() -> list[str]:
    names = [path.relative_to(REMOTE).as_posix() for path in REMOTE.rglob("*.py")]
    return sorted(name for name in names if not is_among(name, SERVER))


def is_among(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def writes(tree: ast.AST) -> Iterator[str]:
    """Where a module prints, or gets hold of a stream that can be written to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"line {node.lineno}: print"
        if isinstance(node, ast.Attribute) and _is_stream(node.value) and node.attr in WRITING:
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and node.module == "sys":
            names = [alias.name for alias in node.names if alias.name in STREAMS]
            yield from (f"line {node.lineno}: from sys import {name}" for name in names)
        if isinstance(node, ast.Call) and _prints(ast.unparse(node.func), node.args):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _prints(function: str, arguments: list[ast.expr]) -> bool:
    """Whether a call prints by the way: a question, why a program ends, a warning, a traceback."""
    said = [ast.unparse(argument) for argument in arguments]
    if function in ("input", "getpass", "getpass.getpass"):
        return not all(words.startswith("printable(") for words in said)
    if function in ("sys.exit", "exit", "SystemExit"):
        return not all(words == "main()" or words.isdigit() for words in said)
    return function.startswith(PRINTING)


#: They write to standard error by themselves.
PRINTING = ("warnings.warn", "traceback.print", "logging.")
WRITING = ("write", "writelines", "buffer")
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


def _is_stream(node: ast.expr) -> bool:
    return ast.unparse(node).removeprefix("sys.") in STREAMS


def parsed(name: str) -> ast.AST:
    return ast.parse((REMOTE / name).read_text("utf-8"))


def test_no_module_prints_by_itself() -> None:
    prints = {name: list(writes(parsed(name))) for name in client_modules() if name != "output.py"}
    assert len(prints) > 50
    assert not {name: places for name, places in prints.items() if places}


def test_only_logs_pass_a_jobs_own_colours() -> None:
    users = [
        name
        for name in client_modules()
        if any(_names(node) == "LogOutput" for node in ast.walk(parsed(name)))
    ]
    assert users == list(SHOWS_COLOURS)


def _names(node: ast.AST) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def test_only_tasks_end_with_a_message_which_is_escaped_there() -> None:
    """Each task is declared by `command`, whose `exit_on_error` escapes what an Exit says."""
    for name in client_modules():
        imports = [node for node in ast.walk(parsed(name)) if isinstance(node, ast.ImportFrom)]
        names = {(node.module, alias.name) for node in imports for alias in node.names}
        assert ("invoke.exceptions", "Exit") not in names or name.startswith("tasks/"), name
        assert not {("invoke", "task"), ("invoke.tasks", "task")} & names, name


@pytest.mark.parametrize(
    "line",
    [
        "print('x')",
        "input('x')",
        "sys.exit(text)",
        "raise SystemExit(str(error))",
        "warnings.warn(text)",
        "traceback.print_exc()",
        "logging.error(text)",
        "out = print",
        "sys.stderr.write('x')",
        "sys.stdout.buffer.write(b'x')",
        "from sys import stdout",
    ],
)
def test_a_module_that_prints_is_noticed(line: str, tmp_path: Path) -> None:
    assert list(writes(ast.parse(line)))
