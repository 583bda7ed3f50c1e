"""Which paths a push would send, asked of rsync itself: nobody else reads its patterns as it does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from remote.errors import TransferError
from remote.transport import process
from remote.transport.rsync_filters import push_filters
from remote.transport.rsync_problems import SOME, path_of
from remote.transport.rsync_tally import complaint


def sent_names(root: Path, names: Iterable[str], declared: Sequence[str] = ()) -> set[str]:
    """Those of these paths below the root that a push sends, or would if they were there."""
    wanted = set(names)
    if not wanted:
        return wanted
    with tempfile.TemporaryDirectory(prefix="names-") as scratch:
        tree = Path(scratch)
        for folder in (tree, *{(tree / name).parent for name in wanted}):
            folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            if not (tree / name).is_dir():
                (tree / name).touch()
        return wanted & {name.rstrip("/") for name in _sent(tree, push_filters(root, declared))}


def all_sent_names(root: Path, declared: Sequence[str] = ()) -> set[str]:
    """The files and links that a push of the project sends."""
    names = _sent(root, push_filters(root, declared))
    return {name for name in names if name and not name.endswith("/")}


def _sent(tree: Path, filters: Sequence[str]) -> set[str]:
    with tempfile.TemporaryDirectory(prefix="nowhere-") as nowhere:
        argv = ["rsync", "-rln", "--8-bit-output", "--out-format=%n", *filters, "./", f"{nowhere}/"]
        result = process.run(argv, cwd=tree)
    if result.code not in (0, SOME):
        raise TransferError(
            f"rsync can't read its filters: {complaint(result.stderr.splitlines())}",
            "Look for it in .rsyncignore.",
        )
    lines = result.stdout.decode("utf-8", "surrogateescape").split("\n")
    return set(map(path_of, lines))
