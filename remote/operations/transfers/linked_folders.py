"""Folders of the project that are links of its user's, to another disk: which are followed, and how.

A server can't make what is followed: rsync takes no absolute link from it, and none that leads out
of the folder that it fills. Neither can a repository: what git tracks is not the user's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from remote.folders import leads_out, links_in
from remote.job import outputs
from remote.operations.git import repositories, tracked
from remote.transport.rsync_problems import DANGLING, IN_THE_WAY, STRANGE, Problem
from remote.transport.sent_names import sent_names

#: Where no disk for data is mounted.
SYSTEM = ("/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/dev", "/proc", "/sys")


def refusal(root: Path, path: str, declared: Iterable[str] = ()) -> Problem | None:
    """Why a path of the project isn't written to, where a link lies at it or above it, or a file
    above it."""
    for name in (path, *map(str, Path(path).parents[:-1])):
        if not (root / name).is_symlink():
            if name != path and (root / name).is_file():
                return Problem(name, "a file, and no folder", IN_THE_WAY)
            continue
        target = os.readlink(root / name)
        if not (root / name).exists():
            return Problem(name, f"a link to {target}, which doesn't exist", DANGLING)
        if tracked(root, name):
            return Problem(name, f"a link to {target}, which git brought", STRANGE)
        if _is_project(root, root / name, declared):
            return Problem(name, f"a link to {target}, the project's own files", STRANGE)
        reason = _private(root, root / name)
        if reason:
            return Problem(name, f"a link to {target}, {reason}", STRANGE)
    return None


def _private(root: Path, link: Path) -> str:
    """What a link leads to that nobody keeps results or data in: an archive that was unpacked here
    may have brought it. Empty where it may be another disk."""
    home, real = Path(os.path.realpath(Path.home())), Path(os.path.realpath(link))
    if real == home or real in home.parents:
        return "your home"
    inner = real.relative_to(home).parts if real.is_relative_to(home) else ()
    if any(part.startswith(".") for part in inner):
        return "a hidden folder of your home"
    if outputs.below(str(real), SYSTEM):
        return "the system's own files"
    own = os.path.realpath(root)
    if any(not outputs.below(own, [str(folder)]) for folder in repositories(real)):
        return "in another repository"
    return ""


def _is_project(root: Path, link: Path, declared: Iterable[str]) -> bool:
    """Whether a link leads to the project, or to what is in it and not an output."""
    top, real = os.path.realpath(root), os.path.realpath(link)
    own = [f"{top}/{name}" for name in outputs.links(declared)]
    return outputs.below(top, [real]) or (
        outputs.below(real, [top]) and not outputs.below(real, own)
    )


def to_push(root: Path, declared: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The links in `data` that lead out of the project and are followed, and those that aren't."""
    links = links_out_of_data(root)
    refused = {name: refusal(root, name, declared) for name in links}
    follow = [name for name in links if not refused[name]]
    problems = [problem for problem in refused.values() if problem]
    return follow, problems and _not_ignored(root, problems)


def _not_ignored(root: Path, problems: Sequence[Problem]) -> list[Problem]:
    """Those that the user's ignore file leaves in."""
    sent = sent_names(root, [problem.path for problem in problems])
    return [problem for problem in problems if problem.path in sent]


def names_of(root: Path, links: Iterable[str]) -> Iterator[str]:
    """The names of links that rsync tells with where they lead, but for links to files."""
    for line in links:
        parts = line.split(" -> ")
        names = (" -> ".join(parts[:number]) for number in range(1, len(parts)))
        link = next((name for name in names if (root / name).is_symlink()), "")
        if link and not (root / link).is_file():
            yield link


def links_out_of_data(root: Path) -> list[str]:
    """The links in `data` that lead out of the project, but for those in its jobs' outputs."""
    results = [path[len("data/") :] for path in outputs.paths() if path.startswith("data/")]
    links = ((f"data/{name}", target) for name, target in links_in(root / "data", results))
    own = [("data", os.readlink(root / "data"))] if (root / "data").is_symlink() else []
    return [name for name, target in (*own, *links) if leads_out(name, target)]
