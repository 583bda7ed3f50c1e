"""What is installed, by the names of folders alone."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from remote.files import read_json
from remote.runtime.installed import installed, note


def test_each_way_of_telling_a_version_is_read(tmp_path: Path) -> None:
    for name in (
        "first/Some_Thing-1.0.post1.dist-info",
        "first/six-1.16-py3.11.egg-info",
        "first/no_version.egg-info",
        "second/six-1.10.dist-info",
        "second/other.thing-2!1.0.dist-info",
        "first/remote_job-0.dist-info",
    ):
        (tmp_path / name).mkdir(parents=True)
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name in ("cuda-cudart-12.4.127-0.json", "six-1.16.0-pyh6c4a22f_0.json", "history"):
        (meta / name).touch()
    places = [str(tmp_path / name) for name in ("first", "gone", "second")]
    assert installed(places, meta) == {
        "some-thing": "1.0.post1",
        "six": "1.16",
        "other-thing": "2!1.0",
        "cuda-cudart": "12.4.127",
    }


def test_what_runs_this_is_noted(tmp_path: Path) -> None:
    note(str(tmp_path / "packages.json"))
    noted = read_json(tmp_path / "packages.json")
    assert noted is not None and noted["pytest"] == version("pytest")
    note("/no/such/folder/packages.json")
    assert installed([], Path(sys.prefix) / "none") == {}
