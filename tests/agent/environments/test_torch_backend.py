"""PyTorch's build for the server: the real uv, without a network, and wheels that stand for it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import ProjectEnvironment, torch_backend
from remote.errors import JobError
from tests.agent.environments.conftest import UV


def wheel(folder: Path, name: str, version: str, needs: str = "") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def wheels(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an index has: two versions of a library that torch needs, and torch's builds."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    for name, version, needs in (
        ("sympy", "1.0", ""), ("sympy", "2.0", ""), ("nvidia_cuda_x_cu12", "12.0", ""),
        ("torch", "2.8.0", "nvidia-cuda-x-cu12==12.0"), ("torch", "2.8.0+cpu", "sympy"),
        ("torch", "2.9.0+cpu", "sympy"),
    ):  # fmt: skip
        wheel(folder, name, version, needs)
    return folder


def pin(wheels: Path, *files: str) -> str:
    lines = []
    for name in files:
        package, version = name.split("-")[:2]
        digest = hashlib.sha256((wheels / name).read_bytes()).hexdigest()
        lines.append(
            f"{package}=={version} ; sys_platform != 'win32' \\\n    --hash=sha256:{digest}\n"
        )
    return "".join(lines)


def made(code: Path, backend: str) -> tuple[ProjectEnvironment, set[str]]:
    """The environment, and what is in it."""
    env = environments.of(code.parent, code, torch_backend=backend)
    log = io.BytesIO()
    try:
        env.make(log)
    except JobError:
        raise AssertionError(log.getvalue().decode()) from None
    argv = [UV, "pip", "freeze", "--python", env.python]
    return env, set(subprocess.check_output(argv, text=True, stderr=subprocess.DEVNULL).split())


@contextlib.contextmanager
def hidden(wheels: Path) -> Iterator[None]:
    """Have the builds not be there, which only PyTorch's own index has."""
    file = wheels / "torch-2.8.0+cpu-py3-none-any.whl"
    file.rename(wheels.parent / file.name)
    yield
    (wheels.parent / file.name).rename(file)


ALL = (
    "nvidia_cuda_x_cu12-12.0-py3-none-any.whl",
    "sympy-1.0-py3-none-any.whl",
    "torch-2.8.0-py3-none-any.whl",
)


def test_a_lock_file_holds_for_all_but_the_build(wheels: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "requirements.lock").write_text(pin(wheels, *ALL))
    with hidden(wheels):
        plain, packages = made(code, "")
    assert packages == {"torch==2.8.0", "sympy==1.0", "nvidia-cuda-x-cu12==12.0"}
    env, packages = made(code, "cpu")
    # The same version of torch, no library moved, and nothing of CUDA's.
    assert packages == {"torch==2.8.0+cpu", "sympy==1.0"} and env.name != plain.name
    assert made(code, "cpu") == (env, packages)
    # What isn't PyTorch's is installed by its hash.
    text = (code / "requirements.lock").read_text()
    digest = hashlib.sha256((wheels / ALL[1]).read_bytes()).hexdigest()
    (code / "requirements.lock").write_text(text.replace(digest, "0" * 64))
    with pytest.raises(AssertionError, match="[Hh]ash mismatch"):
        made(code, "cpu")


def test_the_lock_file_of_uv_holds_too(wheels: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\n'
        'dependencies = ["torch==2.8.0", "sympy<2"]\n'
    )
    with hidden(wheels):
        subprocess.run([UV, "lock", "-q"], cwd=code, check=True)
    _, packages = made(code, "cpu")
    assert packages == {"torch==2.8.0+cpu", "sympy==1.0"}


def test_what_is_not_locked_is_resolved_with_the_build(wheels: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "requirements.txt").write_text("torch\nsympy<2\n")
    _, packages = made(code, "cpu")
    assert packages == {"torch==2.9.0+cpu", "sympy==1.0"}


@pytest.mark.parametrize("name", ["poetry.lock", "pylock.toml"])
def test_a_lock_file_of_which_uv_can_take_no_part_is_refused(
    uv: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    (tmp_path / "pyproject.toml").touch()
    env = environments.of(tmp_path, tmp_path, torch_backend="auto")
    with pytest.raises(JobError, match=f"can't be used with {name}"):
        env.make(io.BytesIO())


def test_the_driver_decides_on_what_auto_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "version"
    monkeypatch.setattr(torch_backend, "_DRIVER", (str(version),))
    monkeypatch.setenv("PATH", str(tmp_path))
    names = {torch_backend.key("a", "auto"), torch_backend.key("a", "cu126")}
    for driver in ("550.54.15", "580.10"):
        version.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Thu\n")
        names |= {torch_backend.key("a", "auto"), torch_backend.key("a", "cu126")}
    assert len(names) == 4


@pytest.mark.parametrize(
    "name", ["torch", "Torchvision", "nvidia_cublas_cu12", "triton", "torchao"]
)
def test_pytorchs_own_is_known_by_name(name: str) -> None:
    assert torch_backend.is_special(name)
    assert not torch_backend.is_special("torchmetrics") and not torch_backend.is_special(
        "pytorch-x"
    )


def test_lines_that_are_no_packages_are_kept_where_they_matter() -> None:
    text = (
        "--find-links wheels\n# a comment\n-e ./pkgs/a\n-r base.lock\n./x.whl --hash=sha256:00\n"
        "torch[opt]==2 ; a \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\nsix==1 \\\n"
        "    --hash=sha256:33\n"
    )
    exact, held = torch_backend.split([text])
    assert exact == (
        "--find-links wheels\n# a comment\n-e ./pkgs/a\n./x.whl --hash=sha256:00\n"
        "six==1 \\\n    --hash=sha256:33\n"
    )
    assert held == "--find-links wheels\ntorch[opt]==2 ; a\nsix==1\n"
