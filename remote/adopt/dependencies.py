"""The commands that add dependencies, by the tool that the project keeps its own with.

Jobs need some packages in what the project's lock file is made from, and this machine needs the
toolkit. The toolkit stays out of what jobs install: a server needs none of it, and could not get it
from a folder of this machine.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from remote.adopt.edits import Change, read
from remote.adopt.imports import imported_packages
from remote.agent.environments.uv import LOCK_FILES

#: What jobs need: to run notebooks, and to record.
JOBS = ("papermill>=2.7", "ipykernel>=6.29", "mlflow>=3.17")

#: The group of uv's that is this machine's.
GROUP = "remote"

#: The group of uv's and Poetry's that jobs have and that a library doesn't publish.
DEVELOPMENT = "dev"

LOCK = "uv pip compile --universal --generate-hashes{group} pyproject.toml -o requirements.lock"
LOCKS = {"pylock.toml": "uv pip compile --universal{group} pyproject.toml -o pylock.toml"}

_DEVELOPMENT = re.compile(r"^\[dependency-groups\][ \t]*\n(?:(?!\[).*\n)*?dev *=", re.MULTILINE)
#: The oldest Python that a project admits, as PEP 440 and as Poetry have it.
_PYTHON = re.compile(
    r"""^(?P<name>requires-python|python)[ \t]*=.*?(?:>=?|~=?|\^|==|["'])[ \t]*3(?:\.(?P<minor>\d+))?""",
    re.MULTILINE,
)

#: Where projects without a lock file say what they need, in ways that jobs don't read.
ELSEWHERE = ("environment.y*ml", "conda.y*ml", "setup.py", "setup.cfg", "Pipfile")


def requirements(root: Path) -> Change | None:
    """A requirements.txt for jobs, in a project that lists its dependencies nowhere in the root."""
    if any((root / name).exists() for name in ("pyproject.toml", "requirements.in", *LOCK_FILES)):
        return None
    lists = sorted(path.relative_to(root).as_posix() for path in root.glob("*/requirements.txt"))
    lines = ["# Jobs: notebooks, and records in MLflow.", *JOBS, *(f"-r {name}" for name in lists)]
    sources = [path.name for pattern in ELSEWHERE for path in sorted(root.glob(pattern))]
    imports = [] if lists else imported_packages(root)
    note = "Jobs install what requirements.txt lists: add there what your code imports"
    note += f", as {', '.join(sources)} has it" if sources else ""
    note += f". It imports: {' '.join(imports)}" if imports else "."
    if lists:
        note = f"Jobs install what requirements.txt lists, and now with it {', '.join(lists)}."
    return Change("requirements.txt", None, "\n".join([*lines, ""]), note)


def commands(root: Path, toolkit: Sequence[str]) -> list[str]:
    """What is to be typed; `toolkit` is what follows `pip install` to get the toolkit here.

    Raises ManualStep where a file can't be read.
    """
    pyproject = _plain(read(root, "pyproject.toml") or "")
    missing = _missing(pyproject)
    config = root / ".venv" / "pyvenv.cfg"
    by_uv = config.is_file() and re.search(r"^uv *=", config.read_text("utf-8", "replace"), re.M)
    # An environment that uv made has no pip.
    installer = ["uv", "pip", "install"] if by_uv else ["python", "-m", "pip", "install"]
    install = shlex.join([*installer, *toolkit])
    lock = next((name for name in LOCK_FILES if (root / name).is_file()), "")
    if pyproject and lock == "uv.lock":
        group = shlex.join(["uv", "add", "--group", GROUP, *toolkit])
        return [*_raised(pyproject), *_adding(f"uv add --group {DEVELOPMENT}", missing), group]
    if lock == "poetry.lock" or "[tool.poetry" in pyproject:
        adding = _adding(f"poetry add --lock --group {DEVELOPMENT}", missing)
        return [*_raised(pyproject), *adding, f"poetry run {install}"]
    if re.search(r"^\[\s*project\s*\]", pyproject, re.MULTILINE) and lock != "requirements.txt":
        group = f" --group {DEVELOPMENT}" if missing or _DEVELOPMENT.search(pyproject) else ""
        locking = [LOCKS.get(lock, LOCK).format(group=group)] if missing or not lock else []
        adding = _adding(f"uv add --frozen --group {DEVELOPMENT}", missing)
        return [*_raised(pyproject), *adding, *locking, install]
    return [*_by_hand(root), install]


def _raised(pyproject: str) -> list[str]:
    """What has to be changed first where the project admits a Python that MLflow doesn't.

    A lock file is for all the versions that a project admits.
    """
    match = _PYTHON.search(pyproject)
    if not match or int(match["minor"] or 0) >= 10:
        return []
    return [f'change in pyproject.toml: {match["name"]} = ">=3.10" (MLflow needs it)']


def _adding(command: str, missing: Sequence[str]) -> list[str]:
    return [f"{command} {shlex.join(missing)}"] if missing else []


def _by_hand(root: Path) -> list[str]:
    """requirements.txt, or what it is made from, which no command adds to."""
    name = "requirements.in" if (root / "requirements.in").is_file() else "requirements.txt"
    text = read(root, name)
    missing = _missing(_plain(text or ""))
    if text is None or not missing:
        return []
    is_made = name == "requirements.in" or "autogenerated by" in text or "--hash=" in text
    where = "what requirements.txt is made from, and make it anew" if is_made else name
    return [f"add to {where}: {' '.join(missing)}"]


def _plain(text: str) -> str:
    """A text without what Windows' editors add: a mark at its beginning, a letter at each line's end."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _missing(declared: str) -> list[str]:
    """What jobs need that a requirements file, or the text of a pyproject.toml, doesn't name."""
    missing = []
    for job in JOBS:
        pattern = rf"""(?:^[ \t]*|["']){job.partition(">")[0]}(?![\w.-])"""
        if not re.search(pattern, declared, re.MULTILINE | re.IGNORECASE):
            missing.append(job)
    return missing


NAME = "remote-gpu-workflow"


def source() -> tuple[str, ...]:
    """The words that follow `pip install` and `uv add`, for the toolkit that runs now."""
    folder = Path(__file__).resolve().parents[2]
    if (folder / "pyproject.toml").is_file():
        return "--editable", str(folder)
    installed = metadata.distribution(NAME)
    origin = installed.read_text("direct_url.json")
    return (of_url(json.loads(origin)) if origin else f"{NAME}>={installed.version}",)


def of_url(origin: Mapping[str, Any]) -> str:
    """The requirement of what a `direct_url.json` says."""
    # A login named `git` is no secret; any other may be a token.
    url = re.sub(r"^(\w+://)(?!git@)[^/@]*@", r"\1", str(origin["url"]))
    part = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    if "vcs_info" not in origin:
        return f"{NAME} @ {url}{part}"
    info = origin["vcs_info"]
    revision = info.get("requested_revision") or info["commit_id"]
    return f"{NAME} @ {info['vcs']}+{url}@{revision}{part}"
