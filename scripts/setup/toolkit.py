"""What of the template is the toolkit's own and no part of a project: its documents, tests and
benchmarks. They go, and files of the project's own take their place.

git has all of it: what git could not bring back is left where it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from remote.errors import ConfigError
from remote.files import write_atomic
from scripts.setup import changes, pyproject
from scripts.setup.values import Values

#: The texts that a project begins with. They go with the rest, so that it is done once.
FILES = Path("scripts/setup/files")

REMOVED = (
    *(".ci", ".github", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "bench", "docs", "tests"),
    *("scripts/check.sh", "scripts/coverage_by_folder.py", "scripts/demo.py", "scripts/figures.py"),
    *("scripts/package_readme.py", "scripts/pictures", "scripts/site", "scripts/slurm.py"),
    *("scripts/sshd.py", FILES.as_posix()),
)

#: What a project has of its own, unless it has by now: these name the toolkit.
REPLACED = ("README.md", "CHANGELOG.md")
TOOLKIT = "remote-gpu-workflow"

#: Targets of the Makefile that do something with what goes.
TARGETS = (
    *("demo", "test-fast", "test-client", "test-faults", "coverage", "bench", "pictures"),
    *("docs", "docs-serve"),
)

#: Tables of pyproject.toml that say how the toolkit is built and checked.
_TABLES = r"tool\.(?:black|isort|ruff|mypy|pytest|coverage|importlinter|hatch\.metadata)\b"


def is_there(root: Path) -> bool:
    """Whether the toolkit's own is among the project's files."""
    return (root / FILES).is_dir()


def is_in_git(root: Path) -> bool:
    """Whether git can bring back what goes. Raises ConfigError where it has not all of that as it is."""
    if not _git(root, "ls-files", "--", FILES.as_posix()):
        return False
    changed = _git(root, "status", "--porcelain", "-uno", "--", *REMOVED, *REPLACED).splitlines()
    if changed:
        raise ConfigError(
            f"make setup would remove or replace {changed[0][3:]}, which isn't committed as it is.",
            'Commit it first: git commit -am "before make setup"',
        )
    return True


def last_commit(root: Path) -> str:
    """The commit that has all of it, by a few of its letters."""
    return _git(root, "rev-parse", "--short", "HEAD").strip()


def replace(root: Path, values: Values) -> int:
    """Put the project's own files where the toolkit's are; how many of those went."""
    gone = _git(root, "ls-files", "--", *REMOVED).splitlines()
    for name, text in _texts(root, values).items():
        (root / name).parent.mkdir(exist_ok=True)
        write_atomic(root / name, text.encode("utf-8"))
    _git(root, "rm", "-rq", "--ignore-unmatch", "--", *REMOVED)
    for name in REMOVED:
        _remove_empty(root / name)
    return len(gone)


def _remove_empty(top: Path) -> None:
    """Remove the folders that git has left: those without files but Python's own."""
    for place in (Path(place) for place, _, _ in os.walk(top, topdown=False)):
        if place.name == "__pycache__":
            shutil.rmtree(place)
        with suppress(OSError):
            place.rmdir()


def test_file(values: Values) -> str:
    """The project's first test."""
    return f"tests/test_{values.package}.py"


def _texts(root: Path, values: Values) -> Mapping[str, str]:
    """The new text of each file, by its name."""
    files = {path.stem: changes.read(path) for path in (root / FILES).iterdir()}
    made = {
        "Makefile": makefile(changes.read(root / "Makefile"), files["targets.mk"]),
        "pyproject.toml": project_file(
            changes.read(root / "pyproject.toml"), files["dev.toml"], files["tools.toml"]
        ),
    }
    for name in REPLACED:
        path = root / name
        if not path.is_file() or TOOLKIT in changes.read(path):
            made[name] = _named(files[name], values)
    if not (root / test_file(values)).exists():
        made[test_file(values)] = _named(files["test_package.py"], values)
    return made


def _named(text: str, values: Values) -> str:
    return text.replace("PROJECT", values.project).replace("PACKAGE", values.package)


def makefile(text: str, own: str) -> str:
    """A Makefile without the targets that do something with what goes; those of `own` take their
    namesakes' places."""
    replacing = {_target(block): block for block in own.rstrip("\n").split("\n\n")}
    blocks = [block for block in text.rstrip("\n").split("\n\n") if _target(block) not in TARGETS]
    made = "\n\n".join(replacing.get(_target(block), block) for block in blocks) + "\n"
    made = re.sub(r"(?m)^CLIENT = .*$", "CODE = $(wildcard src tests pipelines scripts *.py)", made)
    return re.sub(r"(?m)^\.PHONY:.*$", _without_targets, made)


def _target(block: str) -> str:
    return block.partition(":")[0]


def _without_targets(line: re.Match[str]) -> str:
    return " ".join(word for word in line[0].split(" ") if word not in TARGETS)


def project_file(text: str, dev: str, tools: str) -> str:
    """pyproject.toml without what is said of the toolkit alone; raises ConfigError."""
    made = re.sub(r'(?m)^(?:#.*\n)?dynamic = \["readme"\]\n', 'readme = "README.md"\n', text)
    made = re.sub(r"(?m)^keywords = .*\n", "", made)
    made = re.sub(r"(?ms)^classifiers = \[\n.*?^\]\n", "", made)
    made = re.sub(r"(?ms)^dev = \[\n.*?^\]\n", lambda _: dev, made)
    tables = re.split(r"(?m)^(?=\[)", made)
    kept = [table for table in tables if not re.match(rf"\[+{_TABLES}", table)]
    made = "".join(kept).rstrip("\n") + "\n\n" + tools
    pyproject.present(made)
    return made


def _git(root: Path, *words: str) -> str:
    """What git says; nothing where it isn't installed, or knows nothing of this folder."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True)
    except FileNotFoundError:
        return ""
    return done.stdout.decode("utf-8", "replace")
