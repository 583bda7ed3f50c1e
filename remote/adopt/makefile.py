"""The Makefile: aliases of tasks, in one block; targets that the project has itself stay its own."""

from __future__ import annotations

import re
from pathlib import Path

from remote.adopt import block
from remote.adopt.change import Change, ManualStep, paragraphs, read, template

#: In the order in which make looks for them.
NAMES = ("GNUmakefile", "makefile", "Makefile")

_RULE = re.compile(r"^([^\s#:=][^#:=\n]*?)[ \t]*::?(?![:=]*=)", re.MULTILINE)


def makefile(root: Path) -> Change:
    """The project's Makefile with our targets; raises ManualStep."""
    # Not by exists(): a disk of a Mac's takes makefile and Makefile for the same name.
    names = {path.name for path in root.iterdir()}
    name = next((name for name in NAMES if name in names), "Makefile")
    before = read(root, name)
    text = before or ""
    if re.search(r"^\s*\.RECIPEPREFIX\s*[:?]?=", text, re.MULTILINE):
        raise ManualStep(f"{name} sets .RECIPEPREFIX, so our targets would not work in it")
    own = targets(block.outside(text))
    same = [rule for rule in rules() if rule in own and rule != "help"]
    note = (
        f"{name} has targets of its own called {', '.join(same)}: they stay."
        f" Ours are typed inv {', inv '.join(same)}."
    )
    return Change(name, before, block.replace(text, lines(own)), note if same else "")


def targets(text: str) -> set[str]:
    """The names of all rules in a Makefile."""
    return {name for match in _RULE.finditer(text) for name in match[1].split()}


def rules() -> dict[str, str]:
    """Our rules by their target."""
    return {rule.partition(":")[0]: rule for rule in paragraphs(template("Makefile"))[1:]}


def lines(own: set[str]) -> list[str]:
    """The block for a Makefile that has the targets `own`."""
    ours = {name: rule for name, rule in rules().items() if name not in own}
    variable = paragraphs(template("Makefile"))[0]
    return "\n\n".join([variable, f".PHONY: {' '.join(ours)}", *ours.values()]).splitlines()
