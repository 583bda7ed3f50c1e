"""What would install something in a job, and what may go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.site.conftest import JobPython, own_packages


def fake(job: JobPython, name: str) -> None:
    """A program of that name on the login's PATH, that says what it is asked."""
    folder = job.code.parent / "login"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\necho "{name}: $*"\n')
    (folder / name).chmod(0o755)


def shell(job: JobPython, line: str) -> subprocess.CompletedProcess[str]:
    path = f"{job.variables()['PATH']}:{job.code.parent / 'login'}"
    return job.run("sh", "-c", line, PATH=path)


@pytest.fixture
def installers(job: JobPython) -> JobPython:
    for name in ("uv", "conda", "mamba"):
        fake(job, name)
    return job


@pytest.mark.parametrize(
    "line",
    [
        "pip install six",
        "pip3 install -q six",
        "pip -q install six",
        "python -m pip install six",
        "python -u -m pip uninstall -y six",
        "uv pip install six",
        "uv --quiet pip sync requirements.txt",
        "conda install -y six",
        "mamba update --all",
    ],
)
def test_what_would_change_the_environment_is_refused_with_the_way(
    installers: JobPython, line: str
) -> None:
    done = shell(installers, line)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("[remote] `")
    for word in ("uv.lock", "make lock", "inv remote-run"):
        assert word in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "uv --version",
        "uv run train.py --mode install",
        "uv pip list",
        "uv pip install --target libs six",
        "VIRTUAL_ENV=/tmp/other uv pip install six",
        "conda install -n other six",
        "mamba env list",
    ],
)
def test_what_leaves_it_as_it_is_goes_on(installers: JobPython, line: str) -> None:
    done = shell(installers, line)
    assert (done.returncode, done.stderr) == (0, "")
    program, _, words = line.removeprefix("VIRTUAL_ENV=/tmp/other ").partition(" ")
    assert done.stdout == f"{program}: {words}\n"


def test_where_a_program_clears_the_variables_nothing_is_refused(installers: JobPython) -> None:
    done = shell(installers, 'env -i PATH="$PATH" uv pip install six')
    assert (done.stdout, done.stderr) == ("uv: pip install six\n", "")


def test_a_program_that_is_not_there_is_not_found(job: JobPython) -> None:
    done = job.run("sh", "-c", "micromamba list")
    assert done.returncode == 127 and done.stderr == "micromamba: not found\n"


def test_a_pip_of_the_environment_or_of_the_server_is_refused_too(job: JobPython) -> None:
    pip = "print('pip ran')"
    (job.packages / "pip").mkdir()
    (job.packages / "pip/__main__.py").write_text(pip)
    script = job.env / "bin/pip"
    script.write_text(f"#!{job.python}\n{pip}\n")
    script.chmod(0o755)
    assert "refused" in job.run(str(script), "install", "six").stderr
    assert "refused" in job.run(job.python, "-m", "pip", "install", "six").stderr
    assert job.said(str(script), "list") == job.said("pip", "list") == "pip ran"
    # The server's own, with the Python of its own.
    server = job.code.parent / "pip3.11"
    server.write_text(f"#!{Path(sys.executable).resolve()}\n{pip}\n")
    server.chmod(0o755)
    assert "refused" in job.run(str(server), "install", "six").stderr


def test_an_environment_that_a_program_makes_is_its_own(job: JobPython) -> None:
    own = job.code / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(own)], check=True)
    packages = next(own.glob("lib/python*/site-packages"))
    (packages / "pip").mkdir()
    (packages / "pip/__main__.py").write_text("print('pip ran')")
    assert job.said(f"{own}/bin/python", "-m", "pip", "install", "six") == "pip ran"


def test_without_pip_the_list_of_packages_is_answered(job: JobPython) -> None:
    info = job.packages / "tiny-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.5\n")
    for line in ("pip freeze", "pip3 list", "python -m pip list"):
        assert "tiny==1.5" in job.said("sh", "-c", line).splitlines()
    done = job.run("pip", "--version")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no pip" in done.stderr


def test_magics_and_lines_of_a_notebook_are_refused(job: JobPython) -> None:
    program = f"""
import sys
sys.path.append({str(own_packages())!r})
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
shell.run_cell("!pip install six")
shell.run_cell("%pip install six")
"""
    done = job.run(job.python, "-c", program, IPYTHONDIR=str(job.code))
    assert (done.stdout + done.stderr).count("is refused in a job") == 2
