"""The real uv, without a network, and a project that needs one package."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from remote.agent import environments

PYTHON = ">=3.8"
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """uv on the PATH, without a network."""
    if not UV.is_file():
        pytest.skip("uv is not installed beside this Python")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").symlink_to(UV)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_PYTHON", sys.executable)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A project that needs one package, `thing`, which lies beside its lock file."""
    folder = tmp_path / "code 日本"
    folder.mkdir()
    wheel = make_wheel(folder, "thing")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"./{wheel.name} --hash=sha256:{digest}\n"
    (folder / "requirements.lock").write_text(lock)
    return folder


def make_wheel(folder: Path, name: str, *, needs: str = "") -> Path:
    """A package with one module, whose VALUE is 42."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "VALUE = 42\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


def made(code: Path, root: Path, *extras: str) -> Path:
    env = environments.of(root, code, PYTHON, extras)
    env.make(io.BytesIO())
    return env.folder
