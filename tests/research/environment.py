"""An environment with every extra, made once and kept between runs of the tests.

torch comes by pip, which finds one without CUDA where one lies beside the index; the lock of the
extra is made for it, so that jobs install the very same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from remote.files import locked
from remote.operations.jobs.bootstrap import own_uv
from tests.conftest import ROOT, UV_CACHE, WHEELS

FOLDER = ROOT / ".demo" / "research"
LIMIT = 900.0  # seconds for one of the steps

TORCH = "torch==2.13.0"
#: What save_mlflow may be given beside what the project's own extras bring.
FURTHER = ("lightgbm", "transformers", "accelerate", "kedro", "kedro-mlflow", "kedro-datasets")
EXTRAS = ("torch", "lab", "tensorboard")

#: Modules that hardly any environment imports.
SELDOM = (
    r"/archive-v0/.*/(tests?|testing|transformers|databricks|fontTools|networkx|setuptools|docutils"
    r"|sphinx|textual|dulwich|poetry|mypy|physics|lexers|_inductor|_vendored?)/"
)

LOCK = ("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "-q")


class Missing(Exception):
    """The environment can't be had here, and why."""


def made() -> Path:
    """A folder with `venv/` and the lock files it was made from; raises Missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = FOLDER / _key()
    with locked(FOLDER / "lock"):
        if not (folder / ".ready").is_file():
            for old in FOLDER.glob("[0-9a-f]*"):
                shutil.rmtree(old)
            folder.mkdir()
            _make(folder)
            (folder / ".ready").touch()
    return folder


def install(venv: Path, *words: str) -> None:
    """Install into a virtual environment with uv, from what is cached where that will do."""
    run(str(own_uv()), "pip", "install", "-q", "--python", str(venv / "bin/python"), *words)


def new(venv: Path, folder: Path) -> None:
    """A virtual environment with all that the lock files in `folder` name."""
    run(str(own_uv()), "venv", "-q", "--no-project", "--python", sys.executable, str(venv))
    install(venv, *_locks(folder))


def lock_files(folder: Path) -> list[Path]:
    """The lock files that the environment was made from."""
    return [folder / "requirements.lock", *(folder / f"requirements-{e}.lock" for e in EXTRAS)]


def _key() -> str:
    total = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", Path(__file__), *lock_files(ROOT)):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def _make(folder: Path) -> None:
    for lock in lock_files(ROOT):
        shutil.copy(lock, folder)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(WHEELS), TORCH)
    [wheel] = WHEELS.glob("torch-2.13.0*.whl")
    (folder / "torch.txt").write_text(f"torch=={wheel.name.split('-')[1]}\n")
    pinning = ("requirements.lock", "requirements-tensorboard.lock", "torch.txt")
    fixed = [word for name in pinning for word in ("-c", str(folder / name))]
    lock = str(folder / "requirements-torch.lock")
    options = [*LOCK, "--extra", "torch", *fixed, str(ROOT / "pyproject.toml"), "-o", lock]
    (folder / "requirements-torch.lock").unlink()
    run(str(own_uv()), "pip", "compile", "--python", sys.executable, *options)
    _fill(folder)
    _compile()
    # Anew, with what is compiled now.
    shutil.rmtree(folder / "venv")
    _fill(folder)


def _fill(folder: Path) -> None:
    new(folder / "venv", folder)
    pinned = [word for lock in lock_files(folder) for word in ("-c", str(lock))]
    install(folder / "venv", *pinned, *FURTHER)


def _compile() -> None:
    """In the cache, so that no environment that is made from it compiles on its first imports."""
    argv = [sys.executable, "-m", "compileall", "-q", "-x", SELDOM, str(UV_CACHE / "archive-v0")]
    # Some packages hold files for other versions of Python.
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _locks(folder: Path) -> list[str]:
    return [word for lock in lock_files(folder) for word in ("-r", str(lock))]


def run(*argv: str, limit: float = LIMIT) -> None:
    """Run one of the steps; raises Missing where it fails or takes longer than `limit` seconds."""
    env = {**os.environ, "UV_CACHE_DIR": str(UV_CACHE), "UV_FIND_LINKS": str(WHEELS)}
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Missing(f"{' '.join(argv[:4])} took more than {limit:.0f} s") from None
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["no message"])[-1].strip())
