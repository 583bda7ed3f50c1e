"""The build of PyTorch that fits this server's driver, of the version that the lock file names.

uv finds it (`uv pip install --torch-backend`), at PyTorch's own index, with hashes of its own. So all
else is installed as the lock file says, hashes included; then PyTorch and what only its builds need,
with every other version held.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

from remote.agent import processes
from remote.errors import JobError

#: What each build of PyTorch has its own of, and what CUDA's builds bring along.
BUILT = re.compile(r"torch(vision|audio|text|codec|ao)?")
BROUGHT = re.compile(r"nvidia-.*|cuda-(bindings|pathfinder|toolkit)|(pytorch-)?triton(-rocm|-xpu)?")

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==")
_HASH = re.compile(r"\s*\\?\s*--hash=\S+")

#: How lines begin that say where packages come from.
_INDEXES = ("-i", "-f", "--index-url", "--extra-index-url", "--find-links", "--no-index", "--pre")

#: Of the files beside an environment: what is installed first, and what the rest is held to.
SUFFIXES = (".requirements", ".torch-requirements")

_VERSION = re.compile(r"\d+(\.\d+)+")
_DRIVER = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version")


def key(name: str, backend: str) -> str:
    """The name of an environment with that backend, for this machine's driver where that decides."""
    decisive = f"{name} {backend} {_driver() if backend == 'auto' else ''}"
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def _driver() -> str:
    """The version of NVIDIA's driver; empty without one."""
    for file in map(Path, _DRIVER):
        match = _VERSION.search(file.read_text("utf-8", "replace")) if file.is_file() else None
        if match:
            return match[0]
    argv = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return (processes.answer(argv) or "").strip().split("\n")[0]


def commands(
    plain: Sequence[List[str]], backend: str, lock: Path, texts: Sequence[str], env: Path
) -> List[List[str]]:
    """The commands that make the environment `env` with a backend, given the `plain` ones, the last of
    which installs what the lock file says; `texts` are its content and that of its extras' files.

    Writes what is to be installed beside `env`. Raises JobError.
    """
    *before, last = plain
    into = ["--python", str(env / "bin/python"), "--torch-backend", backend]
    rest, held = (env.with_suffix(suffix) for suffix in SUFFIXES)
    finish = [last[0], "pip", "install", *into, "--requirement", str(held)]
    if lock.name == "uv.lock":
        names = re.findall(r'^name = "([^"]+)"', texts[0], re.MULTILINE)
        special = sorted({name for name in names if is_special(name)})
        brought = [name for name in special if BROUGHT.fullmatch(name)]
        export = [last[0], "export", "--frozen", "--no-hashes", "--no-emit-local", "--quiet"]
        export += [*last[4:], *_each("--no-emit-package", brought), "--output-file", str(held)]
        return [*before, [*last, *_each("--no-install-package", special)], export, finish]
    if last[1:3] == ["pip", "install"]:
        return [*before, [*last, *into[2:]]]
    if lock.suffix not in (".lock", ".txt") or lock.name == "poetry.lock":
        raise JobError(
            f"torch-backend can't be used with {lock.name}.",
            "Make a lock file that supports it: uv lock, or uv pip compile … -o requirements.lock",
        )
    for file, text in zip((rest, held), split(texts)):
        file.write_text(text, "utf-8")
    return [*before, [*last[: 3 + 2], str(rest)], finish]


def split(texts: Sequence[str]) -> Tuple[str, str]:
    """Of requirement files with hashes: all but what has builds; and what is pinned, without hashes
    and what builds bring, to hold the rest to it."""
    exact: List[str] = []
    held: List[str] = []
    for entry in (entry for text in texts for entry in _entries(text)):
        match = _PINNED.match(entry)
        name = _normal(match[1]) if match else ""
        if not (is_special(name) or entry.startswith(("-r", "--requirement"))):
            exact.append(entry)
        if entry.startswith(_INDEXES) or match and not BROUGHT.fullmatch(name):
            held.append(_HASH.sub("", entry))
    return "\n".join([*exact, ""]), "\n".join([*held, ""])


def is_special(name: str) -> bool:
    """Whether a package is PyTorch's, or comes with its builds."""
    return bool(BUILT.fullmatch(_normal(name)) or BROUGHT.fullmatch(_normal(name)))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _entries(text: str) -> Iterator[str]:
    """Lines of a requirements file, each with those that go on with it."""
    entry = ""
    for line in text.splitlines():
        entry += f"\n{line}" if entry else line
        if not line.endswith("\\"):
            yield entry
            entry = ""
    if entry:
        yield entry


def _each(option: str, names: Sequence[str]) -> List[str]:
    return [word for name in names for word in (option, name)]
