"""What the code itself says of commands, records and JSON, as Markdown.

A page has `<!-- reference: NAME -->` where such a part belongs; NAME is a key of BLOCKS.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from remote.options import options_of
from remote.tasks import namespace
from remote.tasks.arguments import SHORT
from remote.tasks.own_parser import OwnParserTask
from remote.tracking import schema
from scripts.site import json_objects
from tests.real.venvs import VERSIONS

DOCUMENTS = Path(__file__).parent.parent.parent / "docs"

_TYPED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Flag(NamedTuple):
    """A flag of a task, or a positional argument, as it is typed."""

    typed: str
    help: str


def commands() -> str:
    """For each task a heading, what it does, its flags and examples."""
    return "\n".join(_command(namespace[name]) for name in sorted(namespace.task_names))


def _command(task: OwnParserTask) -> str:
    text = re.sub(r"^Example: .*\n?", "", inspect.getdoc(task) or "", flags=re.MULTILINE)
    about = re.sub(r"(?<=\S)\n(?=\S)", "\\\\\n", text.rstrip())
    lines = [f"### inv {task.typed_name}", "", about, ""]
    rows = [f"| `{flag.typed}` | {_cell(flag.help)} |" for flag in flags(task)]
    lines += ["| flag | meaning |", "| --- | --- |", *rows] if rows else []
    typed = dict.fromkeys([*own_examples(task), *examples(task.typed_name)])
    return "\n".join([*lines, "", *(["```sh", *typed, "```", ""] if typed else [])])


def flags(task: OwnParserTask) -> Iterator[Flag]:
    """Positional arguments first, as in the task's own help."""
    rows = options_of(task.options).values() if task.options else ()
    # Invoke takes the help out of a task that it reads.
    task = copy.copy(task)
    task.help = dict(task.help)
    of_class = {row.flag for row in rows}
    for argument in task.get_arguments():
        flag = f"--{argument.names[0]}".replace("_", "-")
        if argument.positional:
            yield Flag(str(argument.name).upper(), argument.help or "")
        elif flag not in of_class:
            yield Flag(_typed(flag, argument.kind is bool), argument.help or "")
    for row in rows:
        yield Flag(_typed(row.flag, row.switch), row.help)


def _typed(flag: str, is_switch: bool) -> str:
    letters = [short for short, names in SHORT.items() if flag in names]
    return ", ".join([*letters, flag]) + ("" if is_switch else " VALUE")


def own_examples(task: OwnParserTask) -> list[str]:
    """The lines that the task's own help has as examples."""
    return re.findall(r"^Example: (.*)$", inspect.getdoc(task) or "", re.MULTILINE)


def examples(name: str) -> list[str]:
    """The lines that type a task in the documents, where tests type them too."""
    found: dict[str, None] = {}
    for path in sorted(DOCUMENTS.glob("*.md")):
        for block in _TYPED.findall(path.read_text("utf-8")):
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            found.update((line, None) for line in lines if re.match(rf"inv {name}(\s|$)", line))
    return [*found]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def mlflow_versions() -> str:
    """The releases whose stores the tests pull."""
    return ", ".join(f"`{version}`" for version in VERSIONS)


def mlflow_tables() -> str:
    """Each of MLflow's tables that a pull carries: what it hangs on, and how it merges."""
    rows = [
        f"| `{table.name}` | {_owner(table)} | `{table.rule}` |"
        for table in sorted(schema.TABLES, key=lambda table: table.name)
    ]
    return "\n".join(["| table | part of | rule |", "| --- | --- | --- |", *rows])


def _owner(table: schema.Table) -> str:
    return table.owner.replace("_", " ") or "run, data set, model"


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "json-objects": json_objects.described,
    "mlflow-tables": mlflow_tables,
    "mlflow-versions": mlflow_versions,
}
