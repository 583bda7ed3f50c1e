"""The commands that messages name, completed so that they work as typed.

A message names a command as it is typed where the usual target is meant: `inv remote-logs last`.
Where this command was told another target, the next one has to be told it, too.
"""

from __future__ import annotations

import re
import shlex

_INV = re.compile(
    r"\b(inv (?:remote-[a-z]+|sync-p(?:ush|ull)|mlflow-p(?:ush|ull)|doctor))\b(?! --target)"
)
_MAKE = re.compile(r"\b(make (?:sync-p(?:ush|ull)|remote-ps))\b(?! TARGET_DIR)")

_target = ""


def name_target(text: str) -> None:
    """Have the commands name this target; an empty one isn't named."""
    global _target
    _target = shlex.quote(text) if text else ""


def complete(text: str, target: str = "") -> str:
    """A message, whose commands name this target, or the one that was set."""
    named = shlex.quote(target) if target else _target
    if not named:
        return text
    text = _INV.sub(lambda match: f"{match[0]} --target {named}", text)
    return _MAKE.sub(lambda match: f"{match[0]} TARGET_DIR={named}", text)
