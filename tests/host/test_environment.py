"""One environment for each lock file, made by the real uv, without a network."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from remote.errors import JobError
from remote.host import environment

UV = Path(sys.executable).with_name("uv")
PYTHON = ">=3.8"


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
    wheel = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "VALUE = 42\n")
        archive.writestr(
            "thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
        )
        archive.writestr(
            "thing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"./{wheel.name} --hash=sha256:{digest}\n"
    (folder / "requirements.lock").write_text(lock)
    return folder


def made(code: Path, root: Path) -> Path:
    lock = environment.lock_file(code)
    env = environment.folder(root, lock, PYTHON)
    log = io.BytesIO()
    environment.ensure(env, lock, PYTHON, log)
    return env


# Which lock file, which folder


def test_the_best_lock_file_is_taken(tmp_path: Path) -> None:
    for name in reversed(environment.LOCK_FILES):
        (tmp_path / name).touch()
        assert environment.lock_file(tmp_path).name == name


def test_without_a_lock_file_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").mkdir()
    with pytest.raises(JobError) as caught:
        environment.lock_file(tmp_path)
    assert "requirements.lock" in caught.value.message and "uv pip compile" in caught.value.hint


def test_the_folder_is_named_by_what_the_environment_is_made_from(tmp_path: Path) -> None:
    lock, other = tmp_path / "requirements.lock", tmp_path / "requirements.txt"
    lock.write_text("a==1\n")
    other.write_text("a==1\n")
    same = environment.folder(tmp_path, lock, ">=3.10")
    assert same == environment.folder(tmp_path, lock, ">=3.10")
    assert same.parent == tmp_path / ".remote" / "envs"
    found = {same, environment.folder(tmp_path, lock, ""), environment.folder(tmp_path, other, "")}
    lock.write_text("a==2\n")
    assert len(found | {environment.folder(tmp_path, lock, ">=3.10")}) == 4


# Making it


def test_an_environment_is_made_and_has_the_package(uv: Path, code: Path, tmp_path: Path) -> None:
    env = made(code, tmp_path)
    assert environment.is_ready(env)
    python = str(env / "bin" / "python")
    said = subprocess.check_output([python, "-c", "import thing; print(thing.VALUE)"], text=True)
    assert said == "42\n"


def test_it_is_made_once(uv: Path, code: Path, tmp_path: Path) -> None:
    env = made(code, tmp_path)
    (env / "witness").touch()
    (uv / "uv").unlink()
    (uv / "uv").write_text("#!/bin/sh\nexit 9\n")
    (uv / "uv").chmod(0o755)
    made(code, tmp_path)
    assert (env / "witness").exists()


def test_what_was_cut_off_is_made_anew(uv: Path, code: Path, tmp_path: Path) -> None:
    lock = environment.lock_file(code)
    env = environment.folder(tmp_path, lock, PYTHON)
    (env / "bin").mkdir(parents=True)
    (env / "half").touch()
    assert not environment.is_ready(env)
    made(code, tmp_path)
    assert environment.is_ready(env) and not (env / "half").exists()


def test_two_that_come_at_once_make_one(uv: Path, code: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    (uv / "uv").unlink()
    (uv / "uv").write_text(f'#!/bin/sh\necho "$1" >> "{count}"\nexec "{UV}" "$@"\n')
    (uv / "uv").chmod(0o755)
    threads = [threading.Thread(target=made, args=(code, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text().split().count("venv") == 1


def test_a_lock_file_that_can_not_be_met_is_told(uv: Path, code: Path, tmp_path: Path) -> None:
    (code / "requirements.lock").write_text("no-such-package-anywhere==1.0\n")
    lock = environment.lock_file(code)
    env, log = environment.folder(tmp_path, lock, PYTHON), io.BytesIO()
    with pytest.raises(JobError, match="uv ended with"):
        environment.ensure(env, lock, PYTHON, log)
    assert b"no-such-package-anywhere" in log.getvalue()
    assert not environment.is_ready(env)


def test_a_wrong_hash_is_refused(uv: Path, code: Path, tmp_path: Path) -> None:
    lock = code / "requirements.lock"
    lock.write_text(lock.read_text().split("sha256:")[0] + "sha256:" + "0" * 64 + "\n")
    with pytest.raises(JobError):
        made(code, tmp_path)


def test_a_project_that_needs_nothing_gets_an_environment(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    (code / "requirements.lock").write_text("# nothing yet\n")
    assert environment.is_ready(made(code, tmp_path))


def test_the_projects_own_settings_for_uv_do_not_matter(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    (code / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n')
    assert environment.is_ready(made(code, tmp_path))


def test_a_server_that_lost_its_uv_says_so(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError) as caught:
        made(code, tmp_path)
    assert "uv" in caught.value.message and "again" in caught.value.hint


def test_the_log_holds_uvs_words_but_no_list_of_packages(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    lock, log = environment.lock_file(code), io.BytesIO()
    environment.ensure(environment.folder(tmp_path, lock, PYTHON), lock, PYTHON, log)
    assert b"Installed 1 package" in log.getvalue() and b" + thing" not in log.getvalue()


def test_an_activated_environment_comes_first_on_the_path(tmp_path: Path) -> None:
    found = environment.activated(tmp_path, {"PATH": "/usr/bin", "HOME": "/h"})
    assert found["PATH"].split(os.pathsep) == [f"{tmp_path}/bin", "/usr/bin"]
    assert found["VIRTUAL_ENV"] == str(tmp_path) and found["HOME"] == "/h"


def test_an_account_without_a_path_gets_one(tmp_path: Path) -> None:
    assert environment.activated(tmp_path, {})["PATH"].startswith(f"{tmp_path}/bin{os.pathsep}")
