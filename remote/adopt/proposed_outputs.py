"""Folders and files of the project that look like what its programs write, and may expect again."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

from remote.adopt.edits import read
from remote.errors import ConfigError
from remote.operations.transfers.project_outputs import (
    declared_outputs,
    refusal,
    without_repetition,
)

#: How they are called in nanoGPT, Lightning, templates, DVC's examples, kedro.
PATTERNS = (
    *("out", "out-*", "output", "saved", "runs", "eval", "artifacts", "lightning_logs"),
    *("checkpoint", "checkpoints", "ckpt", "ckpts", "models", "weights", "model.pkl"),
    "data/0[2-8]_*",
)


def note(root: Path) -> str:
    """What could be declared, where it exists or git ignores it; empty where there is nothing."""
    ignored = [line.strip().strip("/") for line in (read(root, ".gitignore") or "").splitlines()]
    names = set()
    for pattern in PATTERNS:
        names |= {name for name in ignored if fnmatchcase(name, pattern)}
        names |= {path.relative_to(root).as_posix() for path in root.glob(pattern)}
    try:
        declared = declared_outputs(root)
    except ConfigError:
        # What can't be read is told with the dependencies.
        return ""
    new = [name for name in sorted(names - set(declared)) if not refusal(root, name)]
    proposed = without_repetition([*declared, *new])
    if proposed == declared:
        return ""
    return (
        "Programs may write to these folders. For jobs to share them, and for pulls to copy them, add"
        f" to pyproject.toml:\n[tool.remote]\noutputs = {json.dumps(proposed, ensure_ascii=False)}"
    )
