"""What a handler of the agent answers beside JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class AnswerWithFile(NamedTuple):
    """An answer that a file's bytes follow; the file is removed when it was sent."""

    answer: Any
    file: Path
