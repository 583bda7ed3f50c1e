"""What requirement files say, as pip and uv read them, and which others they name.

Windows' editors begin a file with a mark and end its lines in two letters; a line may go on in the
next one, and a name may be in quotes. The items of conda's part for pip are such lines, too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterable, List, Optional

from remote.errors import JobError
from remote.files import is_file_or_dangling

_OPTIONS = r"(?:-r|-c|--requirements?|--constraints?)"
_NAME = r"""(?:"([^"\n]+)"|'([^'\n]+)'|((?:\\.|[^\s\\])+))"""
_INCLUDED = re.compile(rf"^[ \t]*{_OPTIONS}[ \t=]*(?:file:(?://)?)?{_NAME}", re.MULTILINE)

_ITEM = re.compile(r"""^[ \t]*-[ \t]+(?:"([^"\n]*)"|'([^'\n]*)'|(.*))""", re.MULTILINE)


def read(file: Path) -> bytes:
    """Empty where there is none, or it can't be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def first_of(code: Path, names: Iterable[str]) -> Optional[Path]:
    """The first of these that is there; raises JobError for a link that leads nowhere: the next one
    would make another environment, unsaid."""
    file = next((code / name for name in names if is_file_or_dangling(code / name)), None)
    if file and not file.is_file():
        raise JobError(
            f"{file.name} is a link to {os.readlink(str(file))}, which isn't there.",
            "Put the file itself in its place: links of code are pushed as links.",
        )
    return file


def text_of(file: Path) -> str:
    """The text of a file that says what to install; of one of conda's, with its items as lines."""
    text = read(file).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    if file.suffix in (".yml", ".yaml"):
        return _ITEM.sub(lambda match: match[1] or match[2] or match[3] or "", text)
    # uv's name for the folder that it is started in, which is the project's.
    return re.sub(r"\\\n[ \t]*", " ", text).replace("${PROJECT_ROOT}", ".")


def with_included(files: Iterable[Path]) -> List[Path]:
    """`files`, and the ones that they name, and so on, as far as they are there."""
    seen: List[Path] = []
    todo = list(files)
    while todo:
        file = todo.pop(0)
        # Files may include each other.
        if file not in seen:
            seen.append(file)
            names = (
                match[1] or match[2] or match[3] for match in _INCLUDED.finditer(text_of(file))
            )
            plain = (re.sub(r"\\(.)", r"\1", name) for name in names)
            todo += [Path(os.path.normpath(str(file.parent / name))) for name in plain]
    return [file for file in seen if file.is_file()]
