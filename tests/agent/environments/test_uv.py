"""Environments that uv makes: of which lock file, under which name, and what is in them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import Request
from remote.agent.environments.uv import (
    LOCK_FILES,
    digest,
    lock_file,
    packages,
    python_version,
    recipe,
    record,
)
from remote.errors import JobError
from tests.agent.environments.conftest import UV, made, make_wheel
from tests.conftest import UV_CACHE


@pytest.fixture
def quiet_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A uv that is never asked for more than its version."""
    path = tmp_path / "bin" / "uv"
    path.parent.mkdir()
    path.write_text('#!/bin/sh\ntest "$1" = --version\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    return str(path)


def test_the_best_lock_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for name in reversed(LOCK_FILES):
        (tmp_path / name).touch()
        assert lock_file(tmp_path).name == name


def test_without_a_lock_file_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").mkdir()
    with pytest.raises(JobError) as caught:
        lock_file(tmp_path)
    assert "requirements.lock" in caught.value.message and "uv pip compile" in caught.value.hint


@pytest.mark.parametrize("extra", ["", "../x", "-r", "a b", "x\n", "a/b", "$(x)"])
def test_a_strange_extra_is_refused(code: Path, extra: str) -> None:
    with pytest.raises(JobError, match="name of an extra"):
        lock_file(code, [extra])


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.txt"])
def test_an_extra_without_its_file_is_told_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(JobError) as caught:
        lock_file(tmp_path, ["gpu"])
    assert "requirements-gpu" in caught.value.message
    assert "--extra gpu" in caught.value.hint and "-o requirements-gpu" in caught.value.hint


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock"])
def test_a_lock_file_without_its_project_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(JobError, match="pyproject.toml"):
        lock_file(tmp_path)


@pytest.mark.parametrize(
    ("lock", "other"),
    [
        ("requirements.txt", "requirements-gpu.txt"),
        ("requirements.txt", "base.txt"),
        ("requirements.txt", "lower.txt"),
        ("requirements.lock", "uv.toml"),
        ("uv.lock", "pyproject.toml"),
        ("poetry.lock", "pyproject.toml"),
    ],
)
def test_all_that_counts_is_in_the_name(tmp_path: Path, lock: str, other: str) -> None:
    (tmp_path / lock).write_text("-r base.txt\n")
    (tmp_path / "base.txt").write_text("--constraint=lower.txt\n-r requirements.txt\n")
    before = digest(tmp_path / lock, "", ["gpu"])
    (tmp_path / other).write_text("a==1\n")
    first = digest(tmp_path / lock, "", ["gpu"])
    (tmp_path / other).write_text("a==2\n")
    assert len({before, first, digest(tmp_path / lock, "", ["gpu"])}) == 3


@pytest.mark.parametrize("name", ["uv.lock", "requirements.lock", "environment.yml"])
def test_a_link_that_leads_nowhere_gives_way_to_no_other(tmp_path: Path, name: str) -> None:
    # As one that leads out of the project, where it was pushed to.
    (tmp_path / name).symlink_to("../shared/list")
    (tmp_path / "pyproject.toml").touch()
    other = "environment.yaml" if name == "environment.yml" else "requirements.txt"
    (tmp_path / other).write_text("a==1\n")
    with pytest.raises(JobError, match=f"{name} is a link to ../shared/list, which isn't there"):
        environments.of(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        *('\ufeff-r {}.txt', "-r '{}.txt'", '--requirement="{}.txt"', "-r file://${{PROJECT_ROOT}}/{}.txt"),
        *("-c \\\n {}.txt", "  -r {}.txt\r"),
    ],
)  # fmt: skip
def test_a_file_that_is_included_is_found_however_that_is_written(
    tmp_path: Path, line: str
) -> None:
    lock, other = tmp_path / "requirements.txt", tmp_path / "base.txt"
    lock.write_bytes(f"{line.format('base')}\n".encode())
    other.write_text("a==1\n")
    first = digest(lock, "")
    other.write_text("a==2\n")
    assert digest(lock, "") != first


def test_extras_are_in_the_name_in_any_order(tmp_path: Path) -> None:
    lock = tmp_path / "pylock.toml"
    lock.touch()

    def name(*extras: str) -> str:
        return digest(lock, "", extras)

    assert len({name(), name("a"), name("b"), name("a", "b"), name("ab")}) == 5
    assert name("a", "b") == name("b", "a") == name("a", "b", "a")


def test_of_the_declaration_only_uvs_own_settings_count_beside_other_locks(tmp_path: Path) -> None:
    lock, declared = tmp_path / "requirements.lock", tmp_path / "pyproject.toml"
    lock.touch()

    def name(text: str) -> str:
        declared.write_text(text)
        return digest(lock, "")

    plain = name('[project]\nname = "x"\n')
    assert plain == name('[project]\nname = "y"\n[tool.black]\nline-length = 9\n')
    one = name("[tool.uv]\nno-index = true\n[tool.black]\nline-length = 9\n")
    assert one == name("[project]\n[tool.uv]\nno-index = true\n[tool.black]\nline-length = 8\n")
    two = name('[tool.uv]\nno-index = true\n[[tool.uv.index]]\nurl = "a"\n')
    assert len({plain, one, two, name("[tool.uv]\nno-index = false\n[tool.black]\n")}) == 4


def test_the_folder_is_named_by_what_the_environment_is_made_from(tmp_path: Path) -> None:
    lock, other = tmp_path / "requirements.lock", tmp_path / "requirements.txt"
    lock.write_text("a==1\n")
    other.write_text("a==1\n")
    env = environments.of(tmp_path, tmp_path, ">=3.10")
    assert env == environments.of(tmp_path, tmp_path, ">=3.10")
    assert env.folder.parent == tmp_path / ".remote" / "envs"
    names = {digest(lock, ">=3.10"), digest(lock, ""), digest(other, "")}
    lock.write_text("a==2\n")
    assert len(names | {digest(lock, ">=3.10")}) == 4


def test_environments_that_are_there_keep_their_names(tmp_path: Path) -> None:
    """Another name would have every server make its environments once more."""
    (tmp_path / "requirements.lock").write_text("a==1\n")
    assert environments.of(tmp_path, tmp_path, ">=3.10").name == "e4b6b7841f77a01e"


# Which Python


@pytest.mark.parametrize(
    ("pin", "version"),
    [
        ("3.12\n", "3.12"),
        ("# ours\n\n  3.13.1  \n3.11\n", "3.13.1"),
        ("cpython-3.12.4-linux", "cpython-3.12.4-linux"),
        ("pypy@3.10", "pypy@3.10"),
        (">=3.11,<3.13", ">=3.11,<3.13"),
        # What pyenv knows besides versions, uv passes over.
        ("system", ">=3.9"),
        ("miniconda3-latest/envs/x", ">=3.9"),
        ("--help", ">=3.9"),
        ("", ">=3.9"),
    ],
)
def test_the_python_that_is_pinned_comes_first(tmp_path: Path, pin: str, version: str) -> None:
    (tmp_path / "requirements.lock").touch()
    before = environments.of(tmp_path, tmp_path, ">=3.9").name
    (tmp_path / ".python-version").write_text(pin)
    assert python_version(Request(tmp_path, ">=3.9")) == version
    same = environments.of(tmp_path, tmp_path, ">=3.9").name == before
    assert same is (version == ">=3.9")


@pytest.mark.parametrize(
    ("constraint", "specifier"),
    [
        ("^3.10", ">=3.10,<4"),
        ("~3.10", ">=3.10,<3.11"),
        ("~3.10.2", ">=3.10.2,<3.11"),
        ("~3", ">=3,<4"),
        ("3.11", "==3.11.*"),
        ("3.11.*", "==3.11.*"),
        (">=3.9,<3.13", ">=3.9,<3.13"),
        (">= 3.9 < 3.13", ">=3.9,<3.13"),
        ("~=3.10", "~=3.10"),
        ("^3.9 || ^3.11", ">=3.11,<4"),
        ("*", ""),
    ],
)
def test_poetrys_python_is_read(tmp_path: Path, constraint: str, specifier: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    packages = '[[package]]\nname = "a"\npython-versions = ">=2"\n'
    own = f'[metadata]\nlock-version = "2.0"\npython-versions = "{constraint}"\n'
    (tmp_path / "poetry.lock").write_text(packages + own)
    assert python_version(Request(tmp_path)) == specifier
    (tmp_path / "poetry.lock").write_text(packages + own, newline="\r\n")
    assert python_version(Request(tmp_path)) == specifier
    assert python_version(Request(tmp_path, ">=3.10")) == ">=3.10"


# What is told of them


def test_versions_are_read_from_lines(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(
        "# via==0\nnumpy==2.0 ; python_version > '3'\nscikit-learn==1.5.0 \\\n"
        "    --hash=sha256:00\n    indented==1\nloose>=3\ntorch==2.4.0+cu121\n"
    )
    versions = {"numpy": "2.0", "scikit-learn": "1.5.0", "torch": "2.4.0+cu121"}
    assert packages(tmp_path) == versions


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pylock.toml"])
def test_versions_are_read_from_tables(tmp_path: Path, name: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    table = '[[package]]\nname = "numpy"\nversion = "2.1"\n[[package]]\nname = "local"\n'
    (tmp_path / name).write_text(f'lock-version = "1"\n{table}source = "."\n')
    assert packages(tmp_path) == {"numpy": "2.1"}


def test_no_versions_are_told_of_a_lock_file_that_can_not_be_used(tmp_path: Path) -> None:
    assert packages(tmp_path) == {}
    (tmp_path / "uv.lock").write_text('name = "a"\nversion = "1"\n')
    assert packages(tmp_path) == {}
    (tmp_path / "pyproject.toml").touch()
    assert packages(tmp_path) == {"a": "1"}


def test_the_record_is_the_lock_files_hash(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_bytes(b"a==1\n")
    found = record(Request(tmp_path))
    assert found == {"lock": hashlib.sha256(b"a==1\n").hexdigest()}


# How they are made


def test_a_uv_lock_is_installed_as_it_stands_with_the_extras_in_order(
    quiet_uv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/elsewhere")
    monkeypatch.setenv("UV_SYSTEM_CERTS", "0")
    made = recipe(tmp_path / "env", Request(tmp_path, ">=3.10", ("gpu", "docs", "gpu")))
    sync = [quiet_uv, "sync", "--frozen", "--no-editable"]
    assert made.commands == [[*sync, "--python", ">=3.10", "--extra", "docs", "--extra", "gpu"]]
    assert made.cwd == tmp_path
    # Where it goes is not the user's to say; whose certificates hold is.
    assert made.variables["UV_PROJECT_ENVIRONMENT"] == str(tmp_path / "env")
    assert "VIRTUAL_ENV" not in made.variables and made.variables["UV_SYSTEM_CERTS"] == "0"


@pytest.mark.parametrize(
    ("name", "text", "verb"),
    [
        ("requirements.lock", "a==1\n", "sync"),
        ("requirements.txt", "a==1 --hash=sha256:0\n", "sync"),
        ("requirements.txt", "a==1\n", "install"),
    ],
)
def test_only_what_may_name_less_than_it_needs_is_resolved(
    quiet_uv: str, tmp_path: Path, name: str, text: str, verb: str
) -> None:
    (tmp_path / name).write_text(text)
    env = tmp_path / "env"
    venv, install = recipe(env, Request(tmp_path)).commands
    assert venv == [quiet_uv, "venv", "--no-project", str(env)]
    option = ["-r"] if verb == "install" else []
    into = ["--python", str(env / "bin" / "python")]
    assert install == [quiet_uv, "pip", verb, *into, *option, name]


def test_a_server_that_lost_its_uv_says_so(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError) as caught:
        made(code, tmp_path)
    assert "uv" in caught.value.message and "again" in caught.value.hint


# What is in them


def modules(env: Path) -> set[str]:
    """Which of the tests' packages can be imported there."""
    code = "import importlib.util as u\nfor n in ('thing', 'more'):\n if u.find_spec(n): print(n)"
    python = str(env / "bin" / "python")
    return set(subprocess.check_output([python, "-I", "-c", code], text=True).split())


DECLARED = """\
[project]
name = "x"
version = "0"
requires-python = ">=3.8"
dependencies = ["thing"]
[project.optional-dependencies]
gpu = ["more"]
[tool.uv.sources]
thing = { path = "thing-1.0-py3-none-any.whl" }
more = { path = "more-1.0-py3-none-any.whl" }
"""


@pytest.fixture
def declared(code: Path) -> Path:
    """A project that needs `thing`, and `more` with the extra `gpu`; without a lock file."""
    (code / "requirements.lock").unlink()
    make_wheel(code, "more")
    (code / "pyproject.toml").write_text(DECLARED)
    return code


@pytest.mark.slow
def test_uv_lock(uv: Path, declared: Path, tmp_path: Path) -> None:
    subprocess.run([UV, "lock", "--quiet"], cwd=declared, check=True)
    assert modules(made(declared, tmp_path)) == {"thing"}
    assert modules(made(declared, tmp_path, "gpu")) == {"thing", "more"}
    with pytest.raises(JobError):
        made(declared, tmp_path, "no-such-extra")
    assert not (declared / ".venv").exists()


@pytest.mark.slow
def test_pylock(uv: Path, declared: Path, tmp_path: Path) -> None:
    packages = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{marker}'
        f'archive = {{ path = "{name}-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest}" }} }}\n'
        for name, marker in (("thing", ""), ("more", "marker = \"'gpu' in extras\"\n"))
        for digest in [
            hashlib.sha256((declared / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
        ]
    )
    head = 'lock-version = "1.0"\ncreated-by = "hand"\nextras = ["gpu"]\n'
    (declared / "pylock.toml").write_text(head + packages)
    assert modules(made(declared, tmp_path)) == {"thing"}
    assert modules(made(declared, tmp_path, "gpu")) == {"thing", "more"}


@pytest.mark.slow
def test_each_extra_has_a_lock_file_of_its_own(uv: Path, code: Path, tmp_path: Path) -> None:
    wheel = make_wheel(code, "more")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (code / "requirements-gpu.lock").write_text(f"./{wheel.name} --hash=sha256:{digest}\n")
    assert modules(made(code, tmp_path)) == {"thing"}
    assert modules(made(code, tmp_path, "gpu")) == {"thing", "more"}


@pytest.mark.slow
def test_requirements_written_by_hand_bring_what_they_need(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    (code / "requirements.lock").unlink()
    make_wheel(code, "thing", needs="more")
    make_wheel(code, "more")
    (code / "requirements.txt").write_text("--no-index\n--find-links .\nthing\n")
    assert modules(made(code, tmp_path)) == {"thing", "more"}


POETRY = """\
[project]
name = "x"
version = "0"
requires-python = ">=3.10,<4"
dependencies = ["thing"]
[project.optional-dependencies]
gpu = ["more"]
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
thing = { file = "thing-1.0-py3-none-any.whl" }
more = { file = "more-1.0-py3-none-any.whl", optional = true }
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_poetry_lock(
    uv: Path, declared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_CACHE_DIR", str(UV_CACHE))
    (declared / "pyproject.toml").write_text(POETRY)
    poetry = [UV, "tool", "run", "--from", "poetry", "poetry", "lock", "--no-interaction"]
    done = subprocess.run(poetry, cwd=declared, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Poetry can't be had from the package index: {done.stderr[-300:]}")
    assert modules(made(declared, tmp_path)) == {"thing"}
    assert modules(made(declared, tmp_path, "gpu")) == {"thing", "more"}
