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
    found = base(tmp_path / "bin" / "python")
    assert found["PATH"].split(os.pathsep) == [f"{tmp_path}/bin", "/usr/bin"]
    assert found["VIRTUAL_ENV"] == str(tmp_path) and found["HOME"] == "/h"


def test_an_account_without_a_path_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PATH")
    path = base(tmp_path / "bin" / "python")["PATH"]
    assert path.startswith(f"{tmp_path}/bin{os.pathsep}")
