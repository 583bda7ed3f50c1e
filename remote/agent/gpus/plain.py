"""Text that strangers wrote, for a line of ours."""

from __future__ import annotations


def plain(text: str, limit: int = 64) -> str:
    """Without control characters, which a terminal would obey, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
