"""Addresses in the texts that people read: without the passwords and tokens that they may hold."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"]+")

#: A service that this machine reaches itself: its token is in the address to be opened.
_LOOPBACK = re.compile(r"(?i)https?://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?(/|$)")

#: `//user:password@`. A password may hold any of `:@/?#`, where a driver lets it.
_PASSWORD = re.compile(r"(://[^:/?#@]*):.*@")

#: `https://token@`, as git hosts have it; in other addresses that is a user's name.
_TOKEN = re.compile(r"(?i)^((?:https?|ftp|databricks)://)[^:/?#@]+@")

_OPTION = re.compile(
    r"(?i)([?&#;][^=&]*(?:pass|pwd|token|secret|key|sig|credential)[^=&]*)=[^&#;]*"
)


def without_secrets(text: str) -> str:
    """`text`, with asterisks for passwords, tokens and secret options of the addresses in it."""
    return _ADDRESS.sub(_hidden, text) if "://" in text else text


def _hidden(match: re.Match[str]) -> str:
    address = _TOKEN.sub(r"\1***@", _PASSWORD.sub(r"\1:***@", match[0]))
    return address if _LOOPBACK.match(address) else _OPTION.sub(r"\1=***", address)
