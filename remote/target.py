"""Where the project lives on a server, in rsync's own notation."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from remote.errors import ConfigError

#: An IPv6 address, and the user before it.
_BRACKETED = r"(?:[^@/\[\]]*@)?\[[^\]/]*\]"

FORMS = "host:/dir, user@host:/dir, user@[::1]:/dir, host:dir (in the home folder) or /dir"


@dataclass(frozen=True)
class Target:
    """A folder on a server (`host` is set) or on this machine (`host` is empty).

    `path` is absolute, or relative to the home of the account that logs in. `name` is what
    pyproject.toml calls it, where it was given by that.
    """

    user: str
    host: str
    path: str
    name: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read rsync's notation; raises ConfigError that names the part that is wrong."""
        text = text.strip()
        if not text:
            raise _wrong(text, "it is empty")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            raise _wrong(text, "it holds a control character or a line break")
        if text.startswith("rsync://") or re.match(r"^[^/\[]*::", text):
            raise _wrong(text, "rsync daemons (rsync://, host::module) are not served, only SSH")
        unfinished = re.match(rf"({_BRACKETED})(?!:)", text)
        if unfinished:
            raise _wrong(text, f"after {unfinished[1]!r} a colon and the folder are missing")
        # rsync's rule: a colon before the first slash means a host.
        far = re.match(rf"({_BRACKETED}|[^/:]*):(.*)$", text, re.DOTALL)
        if not far and "@" in text and "/" not in text:
            raise _wrong(text, f"the folder is missing (did you mean {text}:proj?)")
        user, host = _account(text, far[1]) if far else ("", "")
        path = far[2] if far else text
        if re.match("~[^/]", path):
            name = path.split("/")[0]
            raise _wrong(text, f"{name!r} is not understood, only ~/ for your own home")
        folder = _remote_path(text, path) if far else _local_path(text)
        if folder != folder.rstrip():
            # Written down and read again, the name would lose that space.
            raise _wrong(text, "the folder's name ends with a space")
        return cls(user=user, host=host, path=folder)

    def called(self, name: str) -> Target:
        """The same, given by that name."""
        return replace(self, name=name)

    @property
    def is_local(self) -> bool:
        """Whether the target is a plain directory of this machine, reached without SSH."""
        return not self.host

    @property
    def login(self) -> str:
        """What ssh takes as its destination: `user@host` or `host`, without brackets."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def bracketed_login(self) -> str:
        """The same as rsync writes it, before a colon: an IPv6 address is in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" if self.user else host

    @property
    def key(self) -> str:
        """A short name for files about this target: sixteen hex digits."""
        return hashlib.sha256(str(self).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The shortest that can be typed for it."""
        return self.name or str(self)

    def __str__(self) -> str:
        return self.path if self.is_local else f"{self.bracketed_login}:{self.path}"


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"TARGET_DIR {text!r}: {why}.", f"It takes {FORMS}.")


def _account(text: str, account: str) -> tuple[str, str]:
    user, at, host = account.rpartition("@")
    if at and not user:
        raise _wrong(text, "the user before the @ is empty")
    if host.startswith("-"):
        raise _wrong(text, f"the host {host!r} starts with a dash")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not re.match(r"^[0-9A-Fa-f:.]+(%[\w.-]+)?$", host):
            raise _wrong(text, f"{host!r} in brackets is not an IPv6 address")
    elif not re.match(r"^[\w.-]+$", host):
        raise _wrong(text, f"the host {host!r} is empty or holds letters a host name can't")
    if user.startswith("-") or re.search(r"[\s'\"`$;&|<>()\\]", user):
        raise _wrong(text, f"the user {user!r} starts with a dash or holds letters a user can't")
    return user, host


def _remote_path(text: str, path: str) -> str:
    if path in ("~", "~/") or path.startswith("~/"):
        path = path[2:]
    plain = _normal(path) if path else "."
    if plain in (".", "/"):
        where = "the whole server" if plain != "." else "the home folder itself"
        raise _wrong(text, f"the folder is {where}; name one below it")
    if plain == ".." or plain.startswith("../"):
        raise _wrong(text, "the folder is outside of the home folder")
    return plain


def _normal(path: str) -> str:
    """POSIX lets two slashes in front mean something else; here they are one."""
    return re.sub("^//", "/", posixpath.normpath(path))


def _local_path(text: str) -> str:
    plain = Path(_normal(str(Path.cwd() / Path(text).expanduser())))
    if plain in (Path("/"), Path.home()):
        raise _wrong(text, "the folder is the whole machine or your home; name one below it")
    return str(plain)
