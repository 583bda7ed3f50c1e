"""What a push leaves here: secrets, what jobs write, what the project's ignore file names."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from pathlib import Path

from remote.errors import ConfigError
from remote.job import outputs
from remote.job.paths import PARTIAL, STATE

IGNORE_FILE = ".rsyncignore"

#: Never pushed, whatever the ignore file says: secrets, and what git keeps for itself.
SECRETS = (
    ".git", ".env", ".env.*", ".netrc", ".pypirc", ".ssh", ".aws", "*.pem", "*.ppk",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk",
)  # fmt: skip

#: Half-written files, ours and rsync's own.
UNFINISHED = (".tmp-*", ".~tmp~", PARTIAL)


def push_filters(root: Path, declared: Sequence[str] = (), left: Iterable[str] = ()) -> list[str]:
    """What a push leaves alone; raises ConfigError.

    `declared` are outputs that pyproject.toml adds (remote.job.outputs), `left` paths that can't be sent. The user's ignore file comes last: rsync's first match decides.
    """
    filters = [f"--exclude=/{name}" for name in (STATE, *outputs.paths(declared))]
    filters += [f"--exclude=/{literal(name)}" for name in left]
    # The journal and the lock beside the store are as little ours to push as the store.
    filters += ["--exclude=/mlflow.db?*", "--include=.env.example"]
    filters += [f"--exclude={name}" for name in (*SECRETS, *UNFINISHED)]
    # P protects: what jobs put into data is never deleted, though data itself is pushed.
    filters += ["--filter=P /data", "--filter=P /data/**"]
    return filters + [f"--exclude={pattern}" for pattern in ignore_patterns(root)]


def ignore_patterns(root: Path) -> list[str]:
    """The lines of the project's ignore file as rsync's --exclude takes them; raises ConfigError.

    rsync itself would take the mark that Windows editors begin a file with (BOM) for a part of the
    first pattern, and what follows a NUL byte for nothing.
    """
    try:
        content = (root / IGNORE_FILE).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{IGNORE_FILE} can't be read: {error.strerror}.") from None
    patterns = []
    for number, line in enumerate(re.split(rb"\r\n|\n|\r", content.removeprefix(BOM_UTF8)), 1):
        pattern = os.fsdecode(line)
        if "\0" in pattern:
            raise ConfigError(f"{IGNORE_FILE} line {number} holds a NUL byte.", "Save it as text.")
        # It empties rsync's list of filters, all of them (rsync(1)).
        if pattern.strip() == "!":
            raise ConfigError(
                f"{IGNORE_FILE} line {number}: '!' would switch off what protects the results.",
                "Remove that line.",
            )
        if pattern and not pattern.startswith(("#", ";")):
            patterns.append(pattern)
    return patterns


def literal(name: str) -> str:
    """A pattern for this name alone; a line break, which ends a rule, is any letter in it."""
    if not re.search(r"[*?[\n\r]", name):
        return name
    return re.sub(r"[\n\r]", "?", re.sub(r"([\\*?[])", r"\\\1", name))
