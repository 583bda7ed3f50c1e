"""What git says of the project's code: where it stands, and what it has beyond the commit.

The latter is a patch for `git apply`, whatever the user's configuration makes of a `git diff`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from remote.job import outputs
from remote.job.paths import STATE
from remote.job.spec import Git
from remote.output import say
from remote.secret_files import is_secret
from remote.transport import process
from remote.transport.rsync_filters import IgnoreFile
from remote.transport.sent_names import sent_names

#: The variables of git's that say where its configuration is. Others may name another repository:
#: git sets them for its hooks.
CONFIGURATION = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH")

#: A repository that one only looks at may have been unpacked from a stranger's archive, with a
#: configuration that names programs. Its filters are further ones: see `_filters`.
NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")

#: Bytes of a file, and of all, that are recorded; what is longer is generated data.
LONGEST = 4 << 20

#: Names in one command line, and of those that are left out.
MANY = 200

#: The mode of a submodule.
GITLINK = "160000"

#: A diff in git's own form: each of these has a setting that makes another one (git-config(1)).
DIFF = (
    *("-c", "core.quotePath=false", "-c", "diff.relative=false"),
    *("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
)
PATCH = (*DIFF, "--binary", "--full-index", "--unified=3", "--inter-hunk-context=0")


def _git(folder: Path, *words: str, **variables: str) -> process.Result:
    kept = (name for name in os.environ if not name.startswith("GIT_") or name in CONFIGURATION)
    # A look at the repository must not change it, nor wait for whoever does.
    env = {**{name: os.environ[name] for name in kept}, "GIT_OPTIONAL_LOCKS": "0", **variables}
    return process.run(["git", "-C", str(folder), *NO_PROGRAMS, *words], env=env)


@functools.cache
def _filters(folder: Path) -> tuple[str, ...]:
    """Settings that switch off the filters (gitattributes(5)) of a repository and its submodules.

    What is compared then is what lies in the folder, and so what a push sends.
    """
    settings = _names(folder, "config", "--name-only", "-z", "--get-regexp", "^filter[.]")
    filters = sorted({name[len("filter.") :].rpartition(".")[0] for name in settings})
    off = ("clean=", "process=", "required=false")
    words = [word for name in filters for end in off for word in ("-c", f"filter.{name}.{end}")]
    links = (row for row in _names(folder, "ls-files", "-z", "--stage") if row.startswith(GITLINK))
    for submodule in (folder / row.partition("\t")[2] for row in links):
        if (submodule / ".git").exists():
            words += _filters(submodule)
    return tuple(words)


def _text(result: process.Result) -> str:
    return result.stdout.decode("utf-8", "surrogateescape")


def _names(folder: Path, *words: str) -> list[str]:
    return [name for name in _text(_git(folder, *words)).split("\0") if name]


def silence(root: Path) -> str:
    """Why git tells nothing of the project, though it lies in a repository: another user's, or one that
    is broken or not here. Empty where it does tell, or there is none."""
    if not any(repositories(root)):
        return ""
    try:
        result = _git(root, "ls-files", "-z", "--", ":(literal).git")
    except FileNotFoundError:
        return "git is not installed"
    return result.stderr.partition("\n")[0].removeprefix("fatal: ") if result.code else ""


def repositories(folder: Path) -> Iterator[Path]:
    """The folders at and above one that are of git's: repositories, worktrees, submodules."""
    return (above for above in (folder, *folder.parents) if (above / ".git").exists())


@functools.cache
def _say_silence(root: Path) -> None:
    """Say it once in a command, which may start many jobs."""
    if reason := silence(root):
        say(
            f"git tells nothing of {root}, so the job's records have no commit: {reason}",
            "What helps: git status",
        )


def git_state(root: Path, declared: Sequence[str] = ()) -> Git:
    """Where the project stands; an empty Git where there is none, or no commit yet.

    What jobs write, with what the project has `declared`, is no code.
    """
    words = ["status", "--porcelain=v2", "-z", "--branch", "--untracked-files=normal"]
    try:
        result = _git(
            root,
            *_filters(root),
            *words,
            "--ignore-submodules=none",
            "--",
            *_code(".", "", declared),
        )
    except FileNotFoundError:
        result = None
    if result and result.code == 0:
        return parse_status(result.stdout.decode("utf-8", "replace"))
    _say_silence(root)
    return Git()


def parse_status(text: str) -> Git:
    """Read the output of `git status --porcelain=v2 -z --branch` (git-status(1))."""
    records = text.split("\0")
    heads = dict(line[2:].partition(" ")[::2] for line in records if line.startswith("# "))
    commit = heads.get("branch.oid", "")
    if commit in ("", "(initial)"):
        return Git()
    dirty = any(record and not record.startswith("# ") for record in records)
    return Git(commit=commit, branch=heads.get("branch.head", ""), dirty=dirty)


def tracked(root: Path, name: str) -> bool:
    """Whether git has a file of that name, or one below it but for placeholders of empty folders."""
    try:
        names = _names(root, "ls-files", "-z", "--", f":(literal){name}")
    except FileNotFoundError:
        return False
    return any(not file.endswith((".gitkeep", ".gitignore")) for file in names)


def ignored(root: Path, paths: Sequence[str] = ()) -> list[str]:
    """The files of the project, or at and below these paths of it, that git is told to ignore; none
    where there is no repository, and all of these paths where git tells nothing of one."""
    words = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard")
    # More than a command line holds are asked for with all the others.
    named = [f":(literal){path}" for path in paths] if len(paths) <= MANY else []
    with contextlib.suppress(FileNotFoundError):
        result = _git(root, *words, "--", *named)
        if result.code == 0:
            return [name for name in _text(result).split("\0") if name]
    return list(paths) if any(repositories(root)) else []


def _code(top: str, prefix: str, declared: Sequence[str]) -> list[str]:
    """Pathspecs of the project's code, seen from the folder that `prefix` leads out of."""
    others = (STATE, *outputs.paths(declared))
    return [top, *(f":(exclude,literal){prefix}{name}" for name in others)]


def uncommitted(root: Path, declared: Sequence[str] = ()) -> str:
    """The patch that makes the project's code of the commit, new files with it.

    It is for the top of the repository. Comments in it name what it lacks.
    """
    where = _text(_git(root, "rev-parse", "--show-toplevel", "--show-prefix")).split("\n")
    if len(where) < 2:
        return ""
    code = _code(f":(literal){where[1]}" if where[1] else ".", where[1], declared)
    parts: dict[str, str] = {}
    room, left = LONGEST, 0
    stays_here = functools.partial(_stays_here, root, where[1], declared)
    for part in _patches(Path(where[0]), "HEAD", "", code, stays_here):
        head = part.partition("\n")[0]
        if len(part) > room and not part.startswith("#"):
            part, left = _not_recorded(head, "too long"), left + 1
        room -= len(part)
        # A file in the place of a folder names what was in the folder as well.
        parts[head] = part
        if left == MANY:
            parts[""] = "# and more\n"
            break
    return "".join(parts.values())


def _not_recorded(name: str, reason: str) -> str:
    name = name.replace("\n", "?")
    return f"# not recorded, {reason}: {name}\n"


def _stays_here(
    root: Path, prefix: str, declared: Sequence[str], names: Sequence[str]
) -> dict[str, str]:
    """Which files of the repository no push sends, and why; the project lies at `prefix` in it.

    Of one that was removed, the patch would tell what stood in it.
    """
    paths = {name[len(prefix) :]: name for name in names}
    allowed, sent = IgnoreFile.of(root).allowed, sent_names(root, paths, declared)
    return {
        name: "a secret" if is_secret(path, allowed) else "no push sends it"
        for path, name in paths.items()
        if path not in sent
    }


def _patches(
    top: Path,
    base: str,
    place: str,
    code: Sequence[str],
    stays_here: Callable[[Sequence[str]], dict[str, str]],
) -> Iterator[str]:
    """How a working tree differs from a commit, file by file, and then its submodules.

    `place` is its path below the outermost repository, "" or with a slash at its end.
    """
    raw = _names(
        top,
        *_filters(top),
        *DIFF,
        "--raw",
        "--no-abbrev",
        "-z",
        "--ignore-submodules=none",
        base,
        "--",
        *code,
    )
    changes = dict(zip(raw[1::2], (line.split() for line in raw[::2])))
    links = {name for name, (old, new, *_) in changes.items() if GITLINK in (old[1:], new)}
    new_names = _names(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *code)
    names: dict[bool, list[str]] = {False: [], True: []}
    candidates = [*(name for name in changes if name not in links), *new_names]
    reasons = stays_here([place + name for name in candidates])
    for name in candidates:
        reason = _why_not(top / name, name) or reasons.get(place + name)
        if reason:
            yield _not_recorded(place + name, reason)
        else:
            names[name not in changes].append(name)
    yield from _diffs(top, base, place, names[False])
    with tempfile.TemporaryDirectory(prefix="index-") as folder:
        # New files are entered into an index of their own, so that the user's stays as it is.
        index = Path(folder) / "index"
        own = top / _text(_git(top, "rev-parse", "--git-path", "index")).rstrip("\n")
        if names[True] and own.is_file():
            shutil.copyfile(own, index)
        yield from _diffs(top, base, place, names[True], GIT_INDEX_FILE=str(index))
    for name in sorted(links):
        yield from _submodule(top / name, changes[name][2], f"{place}{name}/", stays_here)


def _why_not(path: Path, name: str) -> str:
    """Why a file isn't recorded; empty where it is."""
    if name.endswith("/"):
        return "a repository of its own"
    is_long = path.is_file() and not path.is_symlink() and path.stat().st_size > LONGEST
    return "too long" if is_long else ""


def _diffs(top: Path, base: str, place: str, names: Sequence[str], **index: str) -> Iterator[str]:
    for start in range(0, len(names), MANY):
        part = [f":(literal){name}" for name in names[start : start + MANY]]
        if index:
            _git(top, *_filters(top), "add", "--intent-to-add", "--", *part, **index)
        prefixes = (f"--src-prefix=a/{place}", f"--dst-prefix=b/{place}")
        result = _git(top, *_filters(top), *PATCH, *prefixes, base, "--", *part, **index)
        if result.code:
            yield f"# git diff failed: {result.complaint}\n"
        yield from filter(None, re.split(r"^(?=diff --git )", _text(result), flags=re.MULTILINE))


def _submodule(
    top: Path, recorded: str, place: str, stays_here: Callable[[Sequence[str]], dict[str, str]]
) -> Iterator[str]:
    """What a submodule has beyond the commit that the outer repository records of it."""
    head = _text(_git(top, "rev-parse", "HEAD")).strip() if (top / ".git").exists() else ""
    if head != recorded:
        yield f"# submodule {place} is at {head or 'no commit'}, and was at {recorded}\n"
    if head and _git(top, "cat-file", "-e", f"{recorded}^{{commit}}").code == 0:
        yield from _patches(top, recorded, place, ["."], stays_here)
