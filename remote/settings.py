"""Settings: from make's command line, the environment, and `.env`, in that order."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from remote.errors import ConfigError
from remote.files import is_file_or_dangling

#: All that begin with TARGET or REMOTE_: what else does so is a mistake. README.md explains them.
SETTINGS = (
    "TARGET_DIR",
    "REMOTE_SSH_CONFIG",
    "REMOTE_TMUX_SOCKET",
    "REMOTE_LEASES",
    "REMOTE_NOTIFY",
    "REMOTE_PROXY",
    "REMOTE_PROXY_HOSTS",
    "REMOTE_REGISTRY",
)


def load_settings(root: Path) -> dict[str, str]:
    """All settings that are in force in the project at `root`.

    Raises ConfigError, also for one that looks like a setting and is none.
    """
    from_file, typed = env_file(root), make_variables()
    _refuse_unknown(from_file, "in .env")
    # A notebook that is run by make has its parameters there.
    _refuse_unknown(() if "input_file" in typed else typed, "on make's command line")
    set_by_others = [name for name in os.environ if name not in typed and _nearest(name, 0.85)]
    _refuse_unknown(set_by_others, "in the environment")
    settings = dict(from_file)
    settings.update((key, value) for key, value in os.environ.items() if value)
    settings.update((key, value) for key, value in typed.items() if value)
    return settings


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    """Raises ConfigError for the first name that begins like our settings and is none."""
    for name in names:
        if name.startswith(("TARGET", "REMOTE_")) and name not in SETTINGS:
            near = _nearest(name, 0.7)
            hint = f"Did you mean {near}?" if near else f"There are {', '.join(SETTINGS)}."
            raise ConfigError(f"There is no setting {name} ({where}).", hint)


def _nearest(name: str, alike: float) -> str:
    """The setting that was meant by a name that almost is one; empty without one.

    `alike` is difflib's ratio. Other programs have variables that begin with REMOTE_, too.
    """
    if name in SETTINGS or not name.startswith(("TARGET", "REMOTE_")):
        return ""
    # Hardly ever is there such a name.
    import difflib

    return next(iter(difflib.get_close_matches(name, SETTINGS, n=1, cutoff=alike)), "")


def env_file(root: Path) -> dict[str, str]:
    """What the project's `.env` sets; raises ConfigError, also where a line of ours isn't read."""
    file = root / ".env"
    if not is_file_or_dangling(file):
        return {}
    from dotenv import dotenv_values

    try:
        # The mark that Windows' editors begin a file with is none of its first name.
        text = file.read_text("utf-8-sig")
        _refuse_unread(text)
        values = dotenv_values(stream=io.StringIO(text))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f".env can't be read: {error}.", "It has to be plain UTF-8 text: NAME=value."
        ) from error
    return {key: value for key, value in values.items() if value is not None}


#: A line that is to set one of ours.
_OURS = re.compile(
    rf"^[ \t]*(?:(?:export|set)[ \t]+)?({'|'.join(SETTINGS)})\b(?=[ \t]*\S)", re.MULTILINE
)


def _refuse_unread(text: str) -> None:
    """Raises ConfigError for a line of ours that dotenv passes over, or takes for a part of another
    value: the target would be one that was meant before."""
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        for match in _OURS.finditer(binding.original.string):
            if match[1] != binding.key:
                raise ConfigError(
                    f".env can't be read where it sets {match[1]}.",
                    f"Write {match[1]}=value; is a quote not closed, there or in a line above?",
                )


def make_variables(flags: str | None = None) -> dict[str, str]:
    """The variables of make's own command line, as they were typed.

    make hands them on in MAKEFLAGS, with `$` doubled and blanks and backslashes escaped (GNU make,
    `quote_for_env`). The environment would hold them too, but after make had expanded them.
    """
    text = os.environ.get("MAKEFLAGS", "") if flags is None else flags
    words = re.findall(r"(?:[^ \t\\]|\\.)+", text, re.DOTALL)
    variables = {}
    for word in words:
        plain = re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL).replace("$$", "$")
        match = re.match(r"^([A-Za-z_][\w-]*)\s*(?:::?:?|[?+!])?=(.*)$", plain, re.DOTALL)
        if match:
            variables[match[1]] = match[2].lstrip(" ")
    return variables
