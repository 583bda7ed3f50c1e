"""The parts of the reference that the code itself tells, as Markdown.

A page has `<!-- reference: NAME -->` where such a part belongs; NAME is a key of BLOCKS.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from remote.job.outputs import TABLE
from remote.job.status import ENDED, RUN_STATUS, STATES
from remote.options import options_of
from remote.target_settings import KEYS, TargetSettings
from remote.tasks import namespace
from remote.tasks.arguments import SHORT
from remote.tasks.own_parser import OwnParserTask

DOCUMENTS = Path(__file__).parent.parent.parent / "docs"


class Flag(NamedTuple):
    """One flag of a task, or a positional argument, as it is typed."""

    typed: str
    help: str


def flags(task: OwnParserTask) -> Iterator[Flag]:
    """Positional arguments first, as in the help."""
    rows = options_of(task.options).values() if task.options else ()
    for argument in task.get_arguments():
        flag = f"--{argument.names[0]}".replace("_", "-")
        if flag not in {row.flag for row in rows}:
            typed = str(argument.name).upper() if argument.positional else flag
            yield Flag(_typed(typed, argument.kind is bool), argument.help or "")
    for row in rows:
        yield Flag(_typed(row.flag, row.switch), row.help)


def _typed(flag: str, is_switch: bool) -> str:
    if not flag.startswith("--"):
        return flag
    letters = [short for short, names in SHORT.items() if flag in names]
    return ", ".join([*letters, flag]) + ("" if is_switch else " VALUE")


def examples(name: str) -> list[str]:
    """The lines of the documents that type a task; tests type each of them."""
    found = {}
    for path in sorted(DOCUMENTS.glob("*.md")):
        for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            found.update(dict.fromkeys(line for line in lines if re.match(rf"inv {name}(\s|$)", line)))
    return [*found]


def commands() -> str:
    """A heading, what it does, its flags and examples, for each task."""
    return "\n".join(_command(namespace[name]) for name in sorted(namespace.task_names))


def _command(task: OwnParserTask) -> str:
    lines = [f"### inv {task.typed_name}", "", inspect.getdoc(task) or "", ""]
    rows = [*flags(task)]
    if rows:
        lines += ["| flag | meaning |", "| --- | --- |"]
        lines += [f"| `{row.typed}` | {_cell(row.help)} |" for row in rows]
    typed = examples(task.typed_name)
    if typed:
        lines += ["", "```sh", *typed, "```"]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def target_settings() -> str:
    """The keys that a target may have in pyproject.toml, with their defaults."""
    lines = ["| key | default |", "| --- | --- |"]
    for key, name in KEYS.items():
        default = TargetSettings.fields[name].default
        lines.append(f"| `{key}` | {'' if default in ('', None) else f'`{default!r}`'} |")
    return "\n".join(lines)


def states() -> str:
    """The states of a job, and what MLflow is told of its end."""
    lines = ["| state | has ended | MLflow's status |", "| --- | --- | --- |"]
    for state in STATES:
        lines.append(f"| `{state}` | {'yes' if state in ENDED else 'no'} | {RUN_STATUS.get(state, '')} |")
    return "\n".join(lines)


def outputs() -> str:
    """The folders and files that jobs write."""
    lines = ["| path | a pull brings it |", "| --- | --- |"]
    lines += [f"| `{row.path}` | {'yes' if row.pulled else 'by the merge'} |" for row in TABLE]
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "outputs": outputs,
    "states": states,
    "target-settings": target_settings,
}
