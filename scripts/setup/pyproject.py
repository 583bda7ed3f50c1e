"""pyproject.toml under a project's own name: only the lines that say who it is are touched."""

from __future__ import annotations

import copy
import json
import re
import sys
from typing import Any

from remote.errors import ConfigError
from scripts.setup.values import Values

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: What the package below src/ is called until `make setup` has named it.
FIRST_PACKAGE = "lib"

#: How the toolkit describes itself, which says nothing about another project.
TOOLKIT = "Push a project to a GPU server"

_TABLE = """
[tool.template]
# What `make setup` called the package in src/.
package = {package}
"""


def present(text: str) -> tuple[str, str]:
    """The project's and its package's present names; raises ConfigError."""
    try:
        found = tomllib.loads(text)
        package = found.get("tool", {}).get("template", {}).get("package", FIRST_PACKAGE)
        return str(found["project"]["name"]), str(package)
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigError(
            f"pyproject.toml can't be read, or names no project: {error}.",
            "make setup needs it as the template has it.",
        ) from None


def renamed(text: str, values: Values) -> str:
    """pyproject.toml with the project's names in it; raises ConfigError where that fails."""
    before = tomllib.loads(text)
    wanted = _wanted(before, values)
    project = wanted["project"]
    made = text
    for key in ("name", "description", "authors"):
        if before["project"].get(key) != project.get(key):
            made = _with(made, key, _toml(project[key]))
    made = _with_package(made, values.package, known="template" in before.get("tool", {}))
    if _loads(made) != wanted:
        raise ConfigError(
            "pyproject.toml is written in a way that make setup can't change.",
            "Put `name`, `description` and `authors` on one line each, below [project].",
        )
    return made


def _wanted(before: dict[str, Any], values: Values) -> dict[str, Any]:
    wanted = copy.deepcopy(before)
    project = wanted["project"]
    said = project.get("description", "")
    if said.startswith(TOOLKIT) or said == project["name"]:
        project["description"] = values.project
    project["name"] = values.project
    # Whoever was written beside the first author stays.
    others = project.get("authors", [])[1:]
    project["authors"] = [{"name": values.name, "email": values.email}, *others]
    wanted.setdefault("tool", {}).setdefault("template", {})["package"] = values.package
    return wanted


def _with(text: str, key: str, value: str) -> str:
    """`text` with one key of [project] set, after the version where it is new."""
    head, body, rest = _parts(text)
    line = f"{key} = {value}\n"
    start = re.search(rf"(?m)^{key}[ \t]*=[^\n]*\n", body)
    if start is None:
        body = re.sub(r"(?m)^version[^\n]*\n", lambda found: found[0] + line, body, count=1)
        return head + body + rest
    end = start.end()
    if re.search(r"=[ \t]*\[[^\]]*$", start[0]):
        # A list over several lines, closed at the beginning of one.
        closed = re.compile(r"(?m)^\][^\n]*\n").search(body, end)
        end = closed.end() if closed else end
    return head + body[: start.start()] + line + body[end:] + rest


def _parts(text: str) -> tuple[str, str, str]:
    """What stands before, in, and after the table [project]."""
    start = re.search(r"(?m)^\[project\][^\n]*\n", text)
    if start is None:
        return text, "", ""
    end = re.compile(r"(?m)^\[").search(text, start.end())
    stop = end.start() if end else len(text)
    return text[: start.end()], text[start.end() : stop], text[stop:]


def _with_package(text: str, package: str, *, known: bool) -> str:
    if not known:
        return text.rstrip("\n") + "\n" + _TABLE.format(package=_toml(package))
    line = r"(?ms)(^\[tool\.template\]$.*?^package = )[^\n]*"
    return re.sub(line, lambda found: found[1] + _toml(package), text, count=1)


def _toml(value: Any) -> str:
    """A value as TOML on one line. JSON's strings are TOML's too."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(value[key])}" for key in value) + " }"
    return json.dumps(value, ensure_ascii=False)


def _loads(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
