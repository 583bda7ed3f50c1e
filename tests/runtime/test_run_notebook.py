"""What prepares a notebook's run inside a job; whole runs are tests/integration's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from remote.files import read_json
from remote.job.paths import JobPaths
from remote.job.spec import Job, read_job
from remote.rpc import client
from remote.runtime import run_notebook
from tests.conftest import ROOT
from tests.disks import fill, small_disk

ID = "20260101-090000-train-aaaa"


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    """A job whose notebook is src/a.ipynb of the project that is the target."""
    made = JobPaths(tmp_path / "proj", ID)
    made.folder.mkdir(parents=True)
    return made


def write_notebook(paths: JobPaths, *sources: str) -> None:
    cells = [
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"] if not number else []},
            "source": source,
            "outputs": [],
            "execution_count": None,
            "id": f"c{number}",
        }
        for number, source in enumerate(sources)
    ]
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    path = paths.root / "src/a{b}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), "utf-8")
    Job("notebook", "src/a{b}.ipynb", "a", id=paths.id).to_file(paths.job)


def test_the_kernel_is_the_jobs_own_python(paths: JobPaths) -> None:
    run_notebook._write_kernel(paths.jupyter, {"A": "1"})
    spec = read_json(paths.jupyter / "kernels" / run_notebook.KERNEL / "kernel.json")
    assert spec is not None and sys.executable in spec["argv"]
    assert "{connection_file}" in spec["argv"] and spec["env"] == {"A": "1"}
    assert (paths.jupyter / "runtime").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["a.ipynb", "{x}.ipynb", "a{b}c}{", "{{}}", "日本/{0}"])
def test_a_path_with_braces_is_taken_as_it_is(path: str) -> None:
    assert run_notebook._papermill_path(path).format() == path


def test_sockets_lie_where_their_paths_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert run_notebook._short_folder() == "/tmp"
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert run_notebook._short_folder() == "/var/tmp"


def test_an_environment_without_papermill_is_told(paths: JobPaths, tmp_path: Path) -> None:
    """`-S` leaves the environment's packages out; the agent's zip is all there is."""
    write_notebook(paths, "a = 1")
    zipped = tmp_path / "agent.zip"
    zipped.write_bytes(client.packed(client.contents()))
    argv = [sys.executable, "-S", str(zipped), "notebook", str(paths.folder)]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(argv, cwd=paths.root, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("The job's environment lacks ") and "lock file" in done.stderr
    assert not paths.notebook.exists()


RUN = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from remote.runtime.run_notebook import execute
from remote.job.paths import JobPaths
sys.exit(execute(JobPaths(Path(sys.argv[1]), {ID!r})))
"""


@pytest.fixture(params=["papermill", "nbclient"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables with which a notebook is run by one or the other."""
    if request.param == "papermill":
        return {}
    # As one that isn't installed.
    hidden = tmp_path / "without/papermill.py"
    hidden.parent.mkdir()
    hidden.write_text("raise ModuleNotFoundError('papermill', name='papermill')")
    return {"PYTHONPATH": str(hidden.parent)}


def execute(paths: JobPaths, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the job's notebook as its worker would, here."""
    env = {**os.environ, "JUPYTER_PATH": str(paths.jupyter), "PYTHONUTF8": "1", **more}
    env["JUPYTER_RUNTIME_DIR"] = str(paths.jupyter / "runtime")
    argv = [sys.executable, "-c", RUN, str(paths.root)]
    return subprocess.run(argv, cwd=paths.root, capture_output=True, text=True, env=env)


def test_values_arrive_as_they_were_given(paths: JobPaths, runner: dict[str, str]) -> None:
    values = {
        "text": "two words 'q' \"d\" $(x) `y` \\ \n日本 -x {z} #",
        "none": None,
        "no": False,
        "numbers": [1, 2.5, -3],
        "table": {"a": {"b": None}},
        "big": "x" * 100_000,
    }
    names = ", ".join(values)
    write = f"import json; json.dump([{names}], open('seen.json', 'w'))"
    write_notebook(paths, "\n".join(f"{name} = 0" for name in values), write)
    read_job(paths.folder).replace(parameters=values).to_file(paths.job)
    done = execute(paths, **runner)
    assert done.returncode == 0, done.stderr
    assert read_json(paths.root / "seen.json") == list(values.values())
    assert paths.notebook.is_file()
    assert read_json(paths.progress) == {"cell": 3, "cells": 3}


def test_a_cell_that_fails_is_told_and_kept(paths: JobPaths, runner: dict[str, str]) -> None:
    write_notebook(paths, "a = 1", "print('before')", "raise ValueError('日本 broken')")
    done = execute(paths, **runner)
    assert done.returncode == 1
    assert "before" in done.stdout
    assert "ValueError: 日本 broken" in done.stderr and "papermill" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "日本 broken" in paths.notebook.read_text("utf-8")


def test_a_notebook_runs_where_it_is_told_and_finds_what_lies_beside_it(paths: JobPaths) -> None:
    show = "import os, beside; open(f'{beside.NAME}.txt', 'w').write(os.getcwd())"
    write_notebook(paths, "a = 1", show)
    (paths.root / "src/beside.py").write_text("NAME = 'seen'")
    site = {"PYTHONPATH": str(ROOT / "remote/runtime/site")}
    for cwd in ("", "src"):
        (paths.root / cwd).mkdir(exist_ok=True)
        read_job(paths.folder).replace(cwd=cwd).to_file(paths.job)
        done = execute(paths, **site)
        assert done.returncode == 0, done.stderr
        assert (paths.root / cwd / "seen.txt").read_text() == str(paths.root / cwd)


def test_a_path_that_is_right_beside_the_notebook_is_named(paths: JobPaths) -> None:
    write_notebook(paths, "a = 1", "open('tables/a b.csv')")
    (paths.root / "src/tables").mkdir(parents=True)
    (paths.root / "src/tables/a b.csv").touch()
    done = execute(paths)
    *_, line = done.stderr.splitlines()
    assert line.startswith("[remote] tables/a b.csv is found from the notebook's own folder")
    assert done.returncode == 1 and line.endswith("inv remote-run src/a{b}.ipynb --cwd notebook")


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("[Errno 2] No such file or directory: '../raw/x.csv'", "../raw/x.csv"),
        ("Check that the config directory '{root}/conf' exists and readable", "conf"),
        ("conf/a.npy not found.", "conf/a.npy"),
        ("No such file or directory: 'there.csv'", ""),
        ("No such file or directory: '/etc/no-such-file'", ""),
        ("name 'conf' is not defined", "conf"),
        ("", ""),
    ],
)
def test_what_a_message_names_is_looked_for_beside(tmp_path: Path, message: str, name: str) -> None:
    own, root = tmp_path / "p/notebooks", tmp_path / "p"
    for file in ("p/notebooks/conf/a.npy", "p/there.csv", "p/notebooks/there.csv", "p/raw/x.csv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert run_notebook.file_beside(message.format(root=root), own, root) == name


def test_a_notebook_ends_with_the_code_that_it_exits_with(
    paths: JobPaths, runner: dict[str, str]
) -> None:
    write_notebook(paths, "a = 1", "import sys; sys.exit(3)")
    assert execute(paths, **runner).returncode == 3
    codes = [
        run_notebook.exit_code(text) for text in ("1", "-1", "256", "no data", "None", "²", "--5")
    ]
    assert codes == [1, 255, 0, 1, 0, 1, 1]


def test_a_notebook_is_saved_on_a_full_disk_or_stays_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        path = disk / "notebook.ipynb"
        with pytest.raises(OSError, match="No space left"):
            fill(disk)
            run_notebook.save(path, "x" * 9000)
        (disk / "filler").unlink()
        run_notebook.save(path, "first " * 2000)
        fill(disk)
        run_notebook.save(path, "second " * 1000)
        assert path.read_text() == "second " * 1000
        fill(disk)
        run_notebook.save(path, "third " * 90_000)
        assert path.read_text() == "second " * 1000
