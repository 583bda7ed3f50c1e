"""Amounts as they are typed: `8h`, `1h30m`, `30d`, `20G`. Pure."""

from __future__ import annotations

import re

from remote.errors import RemoteError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MEBIBYTES = {"M": 1, "G": 1024, "T": 1024 * 1024}


class UnitError(RemoteError):
    """A text is no amount."""


def seconds(text: str, flag: str) -> int:
    """What a duration such as `90`, `8h` or `1h30m` means; raises UnitError that names `flag`."""
    parts = re.findall(r"([0-9]+)([smhdw])", text.lower())
    if re.fullmatch("[0-9]+", text):
        found = int(text)
    elif parts and "".join(number + unit for number, unit in parts) == text.lower():
        found = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise UnitError(f"{flag} takes a time, not {text!r}.", "Such as 90s, 20m, 8h or 1h30m.")
    if found == 0:
        raise UnitError(f"{flag} takes a time longer than none.")
    return found


def count(text: str, flag: str) -> int:
    """What a number of things means, 0 included; raises UnitError that names `flag`."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UnitError(f"{flag} takes a number, not {text!r}.")
    return int(text)


def mebibytes(text: str, flag: str) -> int:
    """What a size such as `20G` or `20GB` means, in MiB; raises UnitError that names `flag`.

    GPUs are sold by powers of two: `G` is 1024 MiB, as `nvidia-smi` counts.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([MGT])(?:i?B)?", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UnitError(f"{flag} takes a size, not {text!r}.", "Such as 20G or 500M.")
    return round(float(match[1]) * _MEBIBYTES[match[2].upper()])
