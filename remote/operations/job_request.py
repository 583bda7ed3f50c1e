"""What is asked of a job, with what git says of its code; all is checked before anything is sent."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.config import Project
from remote.job.spec import Git, JobSpec
from remote.operations.run_options import RunOptions
from remote.programs.parameter import Asked
from remote.programs.program import Program
from remote.transport import process


def describe(
    project: Project,
    program: Program,
    parameters: Mapping[str, Any],
    *,
    output: str = "",
    arguments: Sequence[str] = (),
    options: RunOptions = RunOptions(),
) -> JobSpec:
    """What is asked of a job that runs this program with these parameters; raises RemoteError.

    `output` names an executed notebook; without it, it is called like the notebook.
    """
    spec = program.job_spec(project.root, Asked(parameters, arguments, output))
    name = project_name(project.root)
    return spec.replace(
        **{**vars(options), "name": options.name or spec.name},
        experiment=spec.experiment or project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or name,
        python=requires_python(project.root),
        git=git_state(project.root),
        user=getpass.getuser(),
        project=name,
        leases=project.settings.get("REMOTE_LEASES", ""),
    )


def project_name(root: Path) -> str:
    """The name in pyproject.toml, else the folder's."""
    return _declared(root, "name") or root.name


def requires_python(root: Path) -> str:
    """The versions of Python that pyproject.toml allows; empty where it says nothing."""
    return _declared(root, "requires-python")


def _declared(root: Path, name: str) -> str:
    """A text of pyproject.toml's table `project`; empty where there is none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        document = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    table = document.get("project")
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def git_state(root: Path) -> Git:
    """Where the project stands; an empty Git where there is none, or no commit yet."""
    argv = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch"]
    try:
        result = process.run(argv)
    except FileNotFoundError:
        return Git()
    return parse_status(result.stdout.decode("utf-8", "replace")) if result.code == 0 else Git()


#: Bytes of a difference that are kept; a diff that long is generated data.
LONGEST = 4 << 20


def uncommitted(root: Path) -> str:
    """What the files under git's eyes have beyond the commit, and the names of new files."""
    head = ["git", "-C", str(root)]
    changed = process.run([*head, "diff", "HEAD", "--no-color", "--no-ext-diff"])
    new = process.run([*head, "ls-files", "--others", "--exclude-standard"])
    text = changed.stdout[:LONGEST].decode("utf-8", "replace")
    names = new.stdout[:LONGEST].decode("utf-8", "replace").splitlines()
    return text + "".join(f"# new file, not in git: {name}\n" for name in names)


def parse_status(text: str) -> Git:
    """Read the output of `git status --porcelain=v2 --branch` (git-status(1))."""
    lines = text.splitlines()
    heads = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    commit = heads.get("branch.oid", "")
    if commit in ("", "(initial)"):
        return Git()
    dirty = any(not line.startswith("# ") for line in lines)
    return Git(commit=commit, branch=heads.get("branch.head", ""), dirty=dirty)
