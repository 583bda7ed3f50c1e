"""Which files hold secrets, told by their names: no push, patch, copy of a job's code, artifact or
export sends them from this machine.

rsync knows no patterns that ignore case, so `any_case` writes both letters of each.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

#: Patterns as rsync reads them (rsync(1), "INCLUDE/EXCLUDE PATTERN RULES"), in small letters: of a
#: name, or of the end of a path. The first group are folders, then files of programs, of clouds,
#: keys, and copies that editors make of any file.
SECRETS = (
    ".git", ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".kaggle", ".huggingface",
    ".config/gcloud", ".config/gh", ".docker/config.json",
    ".env*", "*.env", ".netrc*", "_netrc", ".pypirc*", ".npmrc*", ".pgpass*", ".my.cnf",
    ".git-credentials*", ".htpasswd", ".dockercfg", ".databrickscfg", ".vault-token",
    "secrets.toml*", "secrets.yaml", "secrets.yml", "secrets.json", ".secrets*",
    "kaggle.json*", "huggingface/token", "huggingface/stored_tokens", ".hf_token", "hf_token",
    "hf_token.txt", ".wandb_api_key", "wandb_api_key", "wandb_api_key.txt", ".boto", ".s3cfg",
    "rclone.conf", "*credentials*.json*", "client_secret*.json",
    "*service[-_]account*.json", "*serviceaccount*.json", "*.tfstate", "*.tfstate.*",
    "*.pem", "*.key", "*.ppk", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    "*~", ".*.sw?", "#*#",
)  # fmt: skip

#: What is none, though one of these patterns fits.
PUBLIC = (".env.example", "id_*.pub")


def any_case(pattern: str) -> str:
    """The same pattern for small and capital letters; what stands in a set stays."""
    parts = re.split(r"(\[.*?\])", pattern)
    parts[::2] = (re.sub("[a-z]", lambda m: f"[{m[0]}{m[0].upper()}]", part) for part in parts[::2])
    return "".join(parts)


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What finds one of the patterns at the end of a path."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    words = (
        "".join(wild.get(part) or (part if part[0] == "[" else re.escape(part)) for part in parts)
        for parts in (re.findall(r"\[.*?\]|.", pattern) for pattern in patterns)
    )
    return re.compile(rf"(?:\A|/)(?:{'|'.join(words)})\Z", re.IGNORECASE | re.ASCII)


_SECRET, _PUBLIC = _one_of(SECRETS), _one_of(PUBLIC)


def is_secret(path: str, allowed: Iterable[str] = ()) -> bool:
    """Whether a file, or a folder above it, has the name of a secret that isn't `allowed`."""
    return any(
        _SECRET.search(above) and not _PUBLIC.search(above) and not _is_named(above, allowed)
        for above in _with_parents(path)
    )


def is_allowed(path: str, allowed: Iterable[str]) -> bool:
    """Whether one of these names is that of a file, or of a folder above it."""
    return any(_is_named(above, allowed) for above in _with_parents(path))


def _with_parents(path: str) -> Iterator[str]:
    parts = path.strip("/").split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _is_named(path: str, names: Iterable[str]) -> bool:
    return any(
        f"/{path}" == name if name[0] == "/" else f"/{path}".endswith(f"/{name}") for name in names
    )


#: Words in the name of a file that holds a secret, or something else: git's ignoring it decides.
_LIKELY = re.compile(
    r"(?<![a-z])(secret|token|credential|cred|password|passphrase|apikey|((api|access|private|deploy"
    r"|ssh)[ ._-]?key))s?(?![a-z])|(?<![a-z])(passwd|key\.json\Z)|パスワード|秘密|トークン|認証",
    re.IGNORECASE,
)


#: Each of these words has one of them in it, which is found faster.
_PARTS = ("secret", "token", "cred", "pass", "key")


def any_may_be_secret(paths: str) -> bool:
    """False, at a quick look, where none of the paths in a text speaks of secrets."""
    return not paths.isascii() or any(map(paths.lower().__contains__, _PARTS))


def may_be_secret(path: str) -> bool:
    """Whether a word in a path speaks of secrets, in whatever form Unicode has it."""
    if not any_may_be_secret(path):
        return False
    return bool(_LIKELY.search(unicodedata.normalize("NFKC", path)))
