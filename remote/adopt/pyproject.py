"""`[project] dependencies` of a pyproject.toml: read, and added to in its text."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from remote.adopt.part import ByHand, distribution

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

_TABLE = re.compile(r"^[ \t]*\[[ \t]*project[ \t]*\][ \t]*(?:#.*)?$", re.MULTILINE)
_NEXT_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_LIST = re.compile(r"^[ \t]*dependencies[ \t]*=[ \t]*\[", re.MULTILINE)
#: A string, a comment, or a single character of a TOML list.
_TOKEN = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#[^\n]*|.", re.DOTALL)


def parsed(text: str) -> dict[str, Any]:
    """The file's content; raises ByHand."""
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ByHand(f"pyproject.toml can't be read ({error})") from None
    return found


def takes_dependencies(data: dict[str, Any]) -> bool:
    """Whether the project lists its dependencies there."""
    project = data.get("project")
    return isinstance(project, dict) and "dependencies" not in project.get("dynamic", ())


def names(data: dict[str, Any]) -> set[str]:
    """All distributions that the project asks for, in whichever list but an extra."""
    poetry = data.get("tool", {}).get("poetry", {})
    groups = [
        *data.get("dependency-groups", {}).values(),
        data.get("project", {}).get("dependencies", []),
    ]
    found = {distribution(each) for group in groups for each in group if isinstance(each, str)}
    tables = [poetry, *poetry.get("group", {}).values()]
    return found | {
        distribution(name) for table in tables for name in table.get("dependencies", {})
    }


def with_dependencies(text: str, requirements: Sequence[str]) -> str:
    """`text` with further requirements at the list's end; raises ByHand where that can't be done."""
    plain = text.replace("\r\n", "\n")
    added = _inserted(plain, [json.dumps(each) for each in requirements])
    expected = parsed(plain)
    project = expected["project"]
    project["dependencies"] = [*project.get("dependencies", []), *requirements]
    try:
        done = parsed(added) == expected
    except ByHand:
        done = False
    if not done:
        raise ByHand("[project] dependencies of pyproject.toml can't be added to")
    return added if plain == text else added.replace("\n", "\r\n")


def _inserted(text: str, items: Sequence[str]) -> str:
    table = _TABLE.search(text)
    if not table:
        return text
    start = table.end()
    following = _NEXT_TABLE.search(text, start)
    opening = _LIST.search(text, start, following.start() if following else len(text))
    if not opening:
        return f"{text[:start]}\ndependencies = [{', '.join(items)}]{text[start:]}"
    last, close = _end_of_list(text, opening.end())
    comma = "" if text[last - 1] in ",[" else ","
    if "\n" not in text[opening.end() : close]:
        gap = "" if text[last - 1] == "[" else " "
        return f"{text[:last]}{comma}{gap}{', '.join(items)}{text[last:]}"
    indent = _indent(text[opening.end() : close])
    head = text[:last] + comma + text[last:close].rstrip(" \t\n")
    return head + "".join(f"\n{indent}{item}," for item in items) + "\n" + text[close:]


def _end_of_list(text: str, start: int) -> tuple[int, int]:
    """Behind the last word of the list that begins at `start`, and at its closing bracket."""
    depth, last = 0, start
    for token in _TOKEN.finditer(text, start):
        if token[0] == "]" and depth == 0:
            return last, token.start()
        depth += {"[": 1, "]": -1}.get(token[0], 0)
        if not token[0].isspace() and not token[0].startswith("#"):
            last = token.end()
    return last, len(text)


def _indent(listed: str) -> str:
    match = re.search(r"\n([ \t]+)[\"'#]", listed)
    return match[1] if match else "    "
