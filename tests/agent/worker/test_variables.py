"""The variables of a job: of its environment, and those that lead it through the laptop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent.worker.variables import NAMES, base, proxied
from remote.job.paths import JobPaths

ADDRESS = "http://job:secret@127.0.0.1:4711"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobPaths:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://the.account's.own")
    paths = JobPaths(tmp_path, "job-1")
    paths.folder.mkdir(parents=True)
    return paths


def test_without_an_offer_nothing_changes(paths: JobPaths) -> None:
    before = dict(os.environ)
    with proxied(paths):
        assert dict(os.environ) == before


def test_both_spellings_name_the_proxy_until_the_end(paths: JobPaths) -> None:
    before = dict(os.environ)
    paths.proxy.write_text(ADDRESS)
    with proxied(paths):
        assert {os.environ[name] for name in NAMES} == {ADDRESS}
        assert {"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"} <= set(NAMES)
    assert dict(os.environ) == before


def test_its_password_is_gone_even_where_the_job_failed(paths: JobPaths) -> None:
    before = dict(os.environ)
    paths.proxy.write_text(ADDRESS)
    with pytest.raises(ZeroDivisionError), proxied(paths):
        raise ZeroDivisionError
    assert not paths.proxy.exists() and dict(os.environ) == before


def test_the_jobs_environment_comes_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("HOME", "/h")
    (tmp_path / "pyvenv.cfg").touch()
    found = base(tmp_path / "bin" / "python")
    assert found["PATH"].split(os.pathsep) == [f"{tmp_path}/bin", "/usr/bin"]
    assert found["VIRTUAL_ENV"] == str(tmp_path) and found["HOME"] == "/h"


def test_an_account_without_a_path_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PATH")
    path = base(tmp_path / "bin" / "python")["PATH"]
    assert path.startswith(f"{tmp_path}/bin{os.pathsep}")


def test_a_conda_prefix_is_told_as_activate_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", "/the/login's/base")
    monkeypatch.setenv("PATH", "/usr/bin")
    (tmp_path / "conda-meta").mkdir()
    found = base(tmp_path / "bin/python")
    assert found["CONDA_PREFIX"] == str(tmp_path) and "VIRTUAL_ENV" not in found
    assert found["PATH"] == f"{tmp_path}/bin:/usr/bin"


def test_the_systems_python_leaves_the_path_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "bin"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("PATH", f"{tmp_path}/first:{tmp_path}/bin:/usr/bin")
    python = tmp_path / "bin/python9"
    python.touch(mode=0o755)
    found = base(python)
    assert found["PATH"] == os.environ["PATH"] and not {"VIRTUAL_ENV", "CONDA_PREFIX"} & {*found}
    # Another one before it would be taken for it.
    (tmp_path / "first/python9").touch(mode=0o755)
    assert base(python)["PATH"] == f"{tmp_path}/bin:{os.environ['PATH']}"
