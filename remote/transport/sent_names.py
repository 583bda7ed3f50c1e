"""Which paths a push would send, asked of rsync itself: nobody else reads its patterns as it does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from remote.errors import TransferError
from remote.transport import process
from remote.transport.rsync_filters import push_filters
from remote.transport.rsync_tally import complaint


def sent_names(root: Path, names: Iterable[str], declared: Sequence[str] = ()) -> set[str]:
    """Those of these paths below the root that a push sends, or would if they were there."""
    wanted = set(names)
    if not wanted:
        return wanted
    with tempfile.TemporaryDirectory(prefix="names-") as scratch:
        tree, nowhere = Path(scratch, "tree"), Path(scratch, "nowhere")
        for folder in (tree, nowhere, *{(tree / name).parent for name in wanted}):
            folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            if not (tree / name).is_dir():
                (tree / name).touch()
        filters = push_filters(root, declared)
        argv = ["rsync", "-rn", "--8-bit-output", "--out-format=%n", *filters, "./", f"{nowhere}/"]
        result = process.run(argv, cwd=tree)
    if result.code:
        raise TransferError(
            f"rsync can't read its filters: {complaint(result.stderr.splitlines())}"
        )
    lines = result.stdout.decode("utf-8", "surrogateescape").split("\n")
    return wanted & {_unescaped(line).rstrip("/") for line in lines}


def _unescaped(name: str) -> str:
    """rsync writes a line break, and a backslash that could be mistaken, by its number."""
    return re.sub(r"\\#([0-7]{3})", lambda match: chr(int(match[1], 8)), name)
