"""What becomes artifacts: texts, tables, files and folders, each under the name it was given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Makes a file or a folder at the path it is given, which isn't there yet.
Write = Callable[[Path], Any]
#: Finds what writes a thing; None where nothing does.
Find = Callable[[Any], Write | None]

DATA = "a str, a pandas.DataFrame or a pathlib.Path"
#: Bytes that a file system takes for a name.
LONGEST = 255


class SaveError(ValueError):
    """What was given can't be saved. Nothing was recorded."""


@dataclass(frozen=True)
class Item:
    """One artifact of the folder `folder`; `source` is the path of what lies on the disk already."""

    folder: str
    name: str
    write: Write
    source: Path | None = None

    def log(self, client: Any, run_id: str) -> None:
        """Write it where nobody else looks, and hand it to MLflow."""
        with tempfile.TemporaryDirectory() as place:
            made = Path(place, self.name)
            self.write(made)
            if made.is_dir():
                client.log_artifacts(run_id, str(made), f"{self.folder}/{self.name}")
            else:
                client.log_artifact(run_id, str(made), self.folder)


def items(folder: str, things: Mapping[str, Any] | None, find: Find, kinds: str) -> list[Item]:
    """An item for each; raises SaveError for a name or a thing that can't be one.

    `kinds` says what `find` can write.
    """
    if not isinstance(things or {}, Mapping):
        raise SaveError(f"{folder} must be a dict of file names and things to save.")
    found = []
    for name, thing in (things or {}).items():
        _check_name(folder, name)
        write = _path(thing) if isinstance(thing, Path) else find(thing)
        if write is None:
            kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
            raise SaveError(f"{folder}[{name!r}] is a {kind}. It must be {kinds}.")
        found.append(Item(folder, name, write, thing if isinstance(thing, Path) else None))
    return found


def _check_name(folder: str, name: Any) -> None:
    if not isinstance(name, str) or not _is_plain(name):
        raise SaveError(
            f"{folder}: {name!r} can't be the name of a file."
            " It must be one name, without slashes and control characters."
        )


def _is_plain(name: str) -> bool:
    if name in ("", ".", "..") or len(name.encode("utf-8", "replace")) > LONGEST:
        return False
    return name.isprintable() and not set("/\\") & set(name)


def is_a(thing: Any, library: str, name: str) -> bool:
    """Whether a thing is of a library's class, found without importing the library."""
    return any(
        each.__name__ == name and str(each.__module__).partition(".")[0] == library
        for each in type(thing).__mro__
    )


def data(thing: Any) -> Write | None:
    """What writes a text or a table."""
    if isinstance(thing, str):
        return lambda path: path.write_bytes(thing.encode("utf-8", "backslashreplace"))
    if is_a(thing, "pandas", "DataFrame"):
        # The mark at the beginning (BOM) tells Excel that the file is UTF-8.
        return lambda path: thing.to_csv(path, index=_has_index(thing), encoding="utf-8-sig")
    return None


def _has_index(table: Any) -> bool:
    """Whether the rows are called otherwise than 0, 1, 2 ..."""
    return not (is_a(table.index, "pandas", "RangeIndex") and table.index.name is None)


def _path(source: Path) -> Write:
    real = source.resolve()
    if not (real.is_file() or real.is_dir()):
        raise SaveError(f"{source} is neither a file nor a folder.")
    # MLflow copies what the link leads to: a large data set needn't be copied twice.
    return lambda path: path.symlink_to(real)
