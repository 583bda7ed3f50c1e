"""The Makefile: aliases of tasks, in one block; targets that the project has itself stay its own."""

from __future__ import annotations

import re
from pathlib import Path

from remote.adopt import block
from remote.adopt.part import ByHand, Part, given, paragraphs, read

#: In the order in which make looks for them.
NAMES = ("GNUmakefile", "makefile", "Makefile")

_RULE = re.compile(r"^([^\s#:=][^#:=\n]*?)[ \t]*::?(?![:=]*=)", re.MULTILINE)


def makefile(root: Path) -> Part:
    """The project's Makefile with our targets; raises ByHand."""
    part, there = Part(), {path.name for path in root.iterdir()}
    name = next((each for each in NAMES if each in there), "Makefile")
    before = read(root, name)
    text = before or ""
    if re.search(r"^\s*\.RECIPEPREFIX\s*[:?]?=", text, re.MULTILINE):
        raise ByHand(f"{name} sets .RECIPEPREFIX, so our targets would not work in it")
    own = targets(block.around(text))
    part.change(name, before, block.put(text, lines(own)))
    taken = [rule for rule in rules() if rule in own and rule != "help"]
    if taken:
        part.remarks.append(
            f"{name} has targets of its own called {', '.join(taken)}: they stay."
            f" Ours are typed inv {', inv '.join(taken)}."
        )
    return part


def targets(text: str) -> set[str]:
    """The names of all rules in a Makefile."""
    return {name for match in _RULE.finditer(text) for name in match[1].split()}


def rules() -> dict[str, str]:
    """Our rules by their target."""
    return {part.partition(":")[0]: part for part in list(paragraphs(given("Makefile")))[1:]}


def lines(own: set[str]) -> list[str]:
    """The block for a Makefile that has the targets `own`."""
    ours = {name: rule for name, rule in rules().items() if name not in own}
    head = next(paragraphs(given("Makefile")))
    parts = [head, f".PHONY: {' '.join(ours)}", *ours.values()]
    return "\n\n".join(parts).splitlines()
