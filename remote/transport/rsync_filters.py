"""What a push leaves here: secrets, what jobs write, what the project's ignore file names."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from remote.errors import ConfigError
from remote.files import is_absent
from remote.job import outputs
from remote.job.paths import PARTIAL, STATE
from remote.secret_files import PUBLIC, SECRETS, any_case, is_secret

IGNORE_FILE = ".rsyncignore"

#: A dot in the last part of a pattern, and three letters that follow it.
_DOTTED = re.compile(r"\.(\w{3})[^/]*\Z")

#: Half-written files, ours and rsync's own.
UNFINISHED = (".tmp-*", ".~tmp~", PARTIAL)


@dataclass(frozen=True)
class IgnoreFile:
    """What the project's ignore file says: patterns as rsync's --exclude takes them, and the names
    that it lets through although they are those of secrets (`!name`)."""

    patterns: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path) -> IgnoreFile:
        """That of the project; raises ConfigError.

        rsync itself would take the mark that Windows editors begin a file with (BOM) for a part of
        the first pattern, and what follows a NUL byte for nothing.
        """
        try:
            content = (root / IGNORE_FILE).read_bytes()
        except OSError as error:
            # A link to a disk that isn't mounted leaves something out, though nobody knows what.
            if is_absent(root / IGNORE_FILE):
                return cls()
            raise ConfigError(
                f"{IGNORE_FILE} can't be read: {error.strerror}.",
                "It has to be a text file that you may read.",
            ) from None
        lines = re.split(rb"\r\n|\n|\r", content.removeprefix(BOM_UTF8))
        rules = [_rule(os.fsdecode(line), number) for number, line in enumerate(lines, 1)]
        return cls(
            tuple(rule for rule in rules if rule and rule[0] not in "!#;"),
            tuple(rule[1:] for rule in rules if rule.startswith("!")),
        )

    def plain(self) -> tuple[set[str], set[str]]:
        """Names, and paths from the root on, of what is left here whatever else it says. Patterns are
        rsync's to read, as are rules that let something through."""
        if any(pattern.startswith(("+", "-", "merge", "include")) for pattern in self.patterns):
            return set(), set()
        plain = [pattern for pattern in self.patterns if not re.search(r"[*?[\\]", pattern)]
        names = {pattern.rstrip("/") for pattern in plain if "/" not in pattern.rstrip("/")}
        paths = {pattern.strip("/") for pattern in plain if pattern.startswith("/")}
        # The root is left by no line.
        return names, paths - {""}


def _rule(line: str, number: int) -> str:
    """One line of the ignore file, as it is used."""
    where, name = f"{IGNORE_FILE} line {number}", line.strip()[1:].strip().rstrip("/")
    if "\0" in line:
        raise ConfigError(f"{where} holds a NUL byte.", "Save it as text.")
    if not line.strip().startswith("!"):
        return line
    # It empties rsync's list of filters, all of them (rsync(1)).
    if not name:
        raise ConfigError(
            f"{where}: '!' would switch off what protects the results.", "Remove that line."
        )
    if re.search(r"[*?[]", name) or name.lower().strip("/") == ".git":
        raise ConfigError(
            f"{where}: '!' lets through one file or folder, by its name.",
            "Write a line for each of them.",
        )
    if is_secret(str(Path(name).parent)):
        raise ConfigError(
            f"{where}: the folder above {name} is not sent.", f"Write !{Path(name).parent}"
        )
    return f"!{name}"


def secret_filters(allowed: Iterable[str]) -> list[str]:
    """What keeps secrets here: rsync's first match decides."""
    return [*_open_filters(allowed), *_excluded(SECRETS)]


def _open_filters(allowed: Iterable[str]) -> list[str]:
    """What is sent though a pattern of SECRETS fits it, and what never is."""
    return [
        f"--exclude={any_case('.git')}",
        *(f"--include={literal(name)}" for name in allowed),
        *(f"--include={any_case(name)}" for name in PUBLIC),
    ]


def _excluded(patterns: Iterable[str]) -> list[str]:
    return [f"--exclude={any_case(pattern)}" for pattern in patterns]


def _sorted_secret_filters() -> list[str]:
    """What keeps SECRETS here as the last of all filters: rsync compares most names with few of them.

    What lacks that which all patterns that are still to come have in common is let through.
    """
    dotted = [pattern for pattern in SECRETS if _DOTTED.search(pattern)]
    starred = [pattern for pattern in dotted if pattern.startswith("*")]
    filters = _excluded(pattern for pattern in SECRETS if pattern not in dotted)
    filters += [_all_but(dotted), *_excluded(p for p in dotted if p not in starred)]
    return [*filters, _all_but(starred), *_excluded(starred)]


def _all_but(dotted: Iterable[str]) -> str:
    """A filter that lets through each name in which no dot is followed as in one of these patterns,
    letter by letter."""
    columns = zip(*(match[1] for match in map(_DOTTED.search, dotted) if match))
    letters = (any_case("".join(sorted(set(column)))) for column in columns)
    sets = (f"[{re.sub('[][]', '', column)}]" for column in letters)
    return f"--filter=+! *.{''.join(sets)}*"


def push_filters(
    root: Path, declared: Sequence[str] = (), left: Iterable[str] = (), *, negates: bool = False
) -> list[str]:
    """What a push leaves alone; raises ConfigError.

    `declared` are outputs that pyproject.toml adds (remote.job.outputs), `left` paths that can't be
    sent. The user's ignore file lets no secret through: rsync's first match decides. Where rsync
    `negates`, a rule can be of what a pattern doesn't fit: to compare each of 200,000 files with all
    of SECRETS takes both ends together half as long as all the rest of a push of nothing.
    """
    filters = [f"--exclude=/{name}" for name in (STATE, *outputs.paths(declared))]
    filters += [f"--exclude=/{literal(name)}" for name in left]
    # The journal and the lock beside the store are as little ours to push as the store.
    filters += ["--exclude=/mlflow.db?*"]
    ignore = IgnoreFile.of(root)
    own = [f"--exclude={name}" for name in UNFINISHED]
    # P protects: what jobs put into data is never deleted, though data itself is pushed.
    own += ["--filter=P /data", "--filter=P /data/**"]
    own += [f"--exclude={pattern}" for pattern in ignore.patterns]
    # What --exclude gets may begin with a plus, and lets through what fits (rsync(1)).
    if not negates or any(pattern.startswith("+") for pattern in ignore.patterns):
        return [*filters, *secret_filters(ignore.allowed), *own]
    return [*filters, *_open_filters(ignore.allowed), *own, *_sorted_secret_filters()]


def literal(name: str) -> str:
    """A pattern for this name alone; a line break, which ends a rule, is any letter in it."""
    if not re.search(r"[*?[\n\r]", name):
        return name
    return re.sub(r"[\n\r]", "?", re.sub(r"([\\*?[])", r"\\\1", name))


def file_filters(names: Iterable[str]) -> str:
    """rsync's rules for these files and the folders above them, a line each."""
    lines: dict[str, None] = {}
    for name in names:
        path = PurePosixPath(name)
        for folder in reversed(path.parents[:-1] if path.parent.name else []):
            lines[f"+ /{literal(str(folder))}/"] = None
        lines[f"+ /{literal(name)}"] = None
    return "".join(f"{line}\n" for line in lines)


def only_filters(patterns: Iterable[str], folder: str) -> list[str] | None:
    """The options that let nothing of a folder through but what patterns from the project's root name,
    with all that is in it; one without a slash is a name anywhere. None where none is of the folder.
    """
    inner = list(filter(None, (_within(pattern, folder) for pattern in patterns)))
    if "**" in inner:
        return []
    rules = [rule for pattern in inner for rule in (pattern, f"{pattern}/**")]
    # Behind that mark, whatever a pattern begins with is part of it.
    kept = [f"--filter=+ {rule}" for rule in rules]
    return [*kept, "--filter=+ */", "--filter=- *"] if kept else None


def _within(pattern: str, folder: str) -> str:
    """What a pattern means in a folder, `**` for all that is there, empty for nothing."""
    parts, above = pattern.strip("/").split("/"), folder.split("/")
    if all(fnmatchcase(name, part) for name, part in zip(above, parts)):
        inner = "/".join(parts[len(above) :])
        return f"/{inner}" if inner else "**"
    return parts[0] if len(parts) == 1 else ""
