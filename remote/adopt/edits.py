"""What an adoption writes into each of the project's files: an editor looks at one, and plans.

In a file that is there, ours is a block between two lines of comment; the rest stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from remote.config import is_environment
from remote.operations.git import repositories

TEMPLATES = Path(__file__).with_name("files")

BEGIN = "# >>> remote-gpu-workflow >>>"
END = "# <<< remote-gpu-workflow <<<"

#: The two lines where `#` is no comment.
MARKDOWN = ("<!-- >>> remote-gpu-workflow >>> -->", "<!-- <<< remote-gpu-workflow <<< -->")


@dataclass(frozen=True)
class Change:
    """A file below the project's root, as it is (None: there is none) and as it would be.

    The user is told `note`, where there is one.
    """

    name: str
    before: str | None
    after: str
    note: str = ""


class ManualStep(Exception):
    """A file that only its owner can change; the message says why, and how."""


def template(name: str) -> str:
    """One of the files that are written."""
    return (TEMPLATES / f"{name}.txt").read_text("utf-8")


def read(root: Path, name: str) -> str | None:
    """A file of the project with its own line endings, None where it is absent.

    Raises ManualStep.
    """
    path = root / name
    if path.is_symlink():
        raise ManualStep(f"{name} is a link")
    if not path.exists():
        return None
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise ManualStep(f"{name} can't be read as text ({error})") from None


def paragraphs(text: str) -> list[str]:
    """The parts of a text between its empty lines."""
    parts = re.split(r"\n[ \t]*\n", text)
    return [part.strip("\n") for part in parts if part.strip()]


def around_block(text: str, marks: tuple[str, str] = (BEGIN, END)) -> tuple[str, str]:
    """What stands before the block and after it; all is before one that isn't there.

    Raises ManualStep.
    """
    begin, end = marks
    lines = text.splitlines(keepends=True)
    words = [line.strip() for line in lines]
    found = [word for word in words if word in marks]
    if not found:
        return text, ""
    if found != [begin, end]:
        raise ManualStep(f"the lines {begin} and {end} must stand in it once each, in that order")
    return "".join(lines[: words.index(begin)]), "".join(lines[words.index(end) + 1 :])


def replace_block(text: str, block: Iterable[str], marks: tuple[str, str] = (BEGIN, END)) -> str:
    """`text` with these lines as its block, where it was, else at the end; raises ManualStep.

    The lines end as those of the text do.
    """
    before, after = around_block(text, marks)
    end = "\r\n" if "\r\n" in text else "\n"
    if before and not before.endswith("\n"):
        before += end
    is_new = len(before) >= len(text)
    gap = end if is_new and before.strip() and not before.endswith(end * 2) else ""
    return before + gap + "".join(line + end for line in (marks[0], *block, marks[1])) + after


def rsyncignore(root: Path) -> Change:
    """What a push leaves here: ours, and the environments that lie in the project."""
    lines = template("rsyncignore").splitlines()
    for folder in sorted(root.iterdir()):
        if is_environment(folder) and folder.name.isprintable() and f"{folder.name}/" not in lines:
            # What rsync would take for a wildcard stands for itself.
            lines.append("/" + re.sub(r"([\\*?\[])", r"\\\1", folder.name) + "/")
    return _extended(root, ".rsyncignore", lines, "\n", _pattern)


def gitignore(root: Path) -> Change | None:
    """Settings and records stay out of git, where there is one."""
    if not any(repositories(root)) and not (root / ".gitignore").exists():
        return None
    return _extended(root, ".gitignore", template("gitignore").splitlines(), "\n", _pattern)


def agents_file(root: Path) -> Change:
    """How the commands are used, for who types with a coding agent."""
    before = read(root, "AGENTS.md")
    block = template("AGENTS.md").splitlines()
    return Change("AGENTS.md", before, replace_block(before or "", block, MARKDOWN))


def env_example(root: Path) -> Change:
    """The settings, each with the comment that explains it."""
    return _extended(root, ".env.example", paragraphs(template("env.example")), "\n\n", _setting)


def _extended(
    root: Path, name: str, parts: list[str], between: str, key: Callable[[str], str]
) -> Change:
    """The file with those parts in its block whose `key` no line outside of it has."""
    before = read(root, name)
    if before is None:
        return Change(name, None, between.join(parts) + "\n")
    present = {key(line) for line in "".join(around_block(before)).splitlines()} | {""}
    missing = [part for part in parts if key(part) not in present]
    lines = between.join(missing).splitlines()
    return Change(name, before, replace_block(before, lines) if lines else before)


def _pattern(line: str) -> str:
    """A pattern without the slashes that change nothing for a name in the root."""
    return "" if line.startswith("#") else line.strip().strip("/")


def _setting(text: str) -> str:
    """The setting that a line, or a paragraph, gives a value or shows."""
    pattern = r"^[# \t]*(?:export[ \t]+)?([A-Z_][A-Z0-9_]*)[ \t]*="
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


#: In the order in which make looks for them.
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")

_RULE = re.compile(r"^([^\s#:=][^#:=\n]*?)[ \t]*::?(?![:=]*=)", re.MULTILINE)


def makefile(root: Path) -> Change:
    """The project's Makefile with our targets; raises ManualStep."""
    # Not by exists(): a disk of a Mac's takes makefile and Makefile for the same name.
    names = {path.name for path in root.iterdir()}
    name = next((name for name in MAKEFILES if name in names), "Makefile")
    before = read(root, name)
    text = before or ""
    if re.search(r"^\s*\.RECIPEPREFIX\s*[:?]?=", text, re.MULTILINE):
        raise ManualStep(f"{name} sets .RECIPEPREFIX, so our targets would not work in it")
    own = targets("".join(around_block(text)))
    ours = {target: rule for target, rule in rules().items() if target not in own}
    same = [target for target in rules() if target in own and target != "help"]
    note = (
        f"{name} has targets of its own called {', '.join(same)}: they stay."
        f" Ours are typed inv {', inv '.join(same)}."
    )
    variable = paragraphs(template("Makefile"))[0]
    block = "\n\n".join([variable, f".PHONY: {' '.join(ours)}", *ours.values()])
    return Change(name, before, replace_block(text, block.splitlines()), note if same else "")


def targets(text: str) -> set[str]:
    """The names of all rules in a Makefile."""
    return {name for match in _RULE.finditer(text) for name in match[1].split()}


def rules() -> dict[str, str]:
    """Our rules by their target."""
    return {rule.partition(":")[0]: rule for rule in paragraphs(template("Makefile"))[1:]}


#: Where Invoke looks for tasks, in its order.
TASK_FILES = ("tasks.py", "tasks/__init__.py")

LINES = (
    "import remote.tasks  # noqa: E402",
    "",
    "# A task above keeps its name, where one of remote.tasks is called the same.",
    "namespace = remote.tasks.joined(globals())",
)

BESIDE = (
    "To have ours beside it, write `from remote.tasks import namespace` into a file remote_tasks.py"
    " and type inv -c remote_tasks in the place of inv"
)


def tasks_file(root: Path) -> Change | None:
    """The file that `inv` reads, with our tasks; raises ManualStep."""
    name = next((name for name in TASK_FILES if (root / name).exists()), TASK_FILES[0])
    before = read(root, name)
    if before is None:
        return Change(name, None, template("tasks.py"))
    own = "".join(around_block(before))
    if _imports("remote", own):
        return None
    if not _imports("invoke|fabric", own):
        raise ManualStep(f"{name} holds no tasks of Invoke's. {BESIDE}")
    return Change(name, before, replace_block(before, LINES))


def _imports(packages: str, text: str) -> bool:
    """Whether a module imports one of these packages, or a part of one, at its top level."""
    return bool(re.search(rf"^(?:from|import)[ \t]+(?:{packages})\b", text, re.MULTILINE))
