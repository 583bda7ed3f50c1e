"""Libraries that only some experiments need."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def need(extra: str, *modules: str) -> None:
    """Leave the program, saying how to get them, unless all `modules` of the extra are here."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        sys.exit(
            f"This needs {' and '.join(missing)}, which the extra {extra!r} brings.\n"
            f'Here: make install extras="{extra}"    On a target: inv remote-run ... --extra {extra}'
        )
