"""What a job's Python imports from where, compared with the same Python outside of a job."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.runtime.site.conftest import JobPython, own_packages

SHOW = "import json, sys; print(json.dumps(sys.path))"


@pytest.fixture
def project(job: JobPython) -> JobPython:
    """A project with names of its own that packages and the standard library have too."""
    job.write("src/lib/__init__.py", "NAME = 'lib of the project'")
    job.write("src/__init__.py")
    job.write("src/logging.py", "def get(): return 'own logging'")
    job.write("installed/__init__.py", "NAME = 'the project'")
    (job.packages / "installed.py").write_text("NAME = 'the package'")
    return job


USES = """
import logging, installed
from lib import NAME
from src.logging import get
print(logging.INFO, installed.NAME, NAME, get(), sep=', ')
"""
PLAIN = "20, the package, lib of the project, own logging"


def test_the_projects_names_hide_neither_packages_nor_the_standard_library(
    project: JobPython,
) -> None:
    project.write("tools/app.py", USES)
    project.write("src/pkg/app.py", USES)
    assert project.said(project.python, "tools/app.py") == PLAIN
    assert project.said("sh", "-c", "cd / && python '" + f"{project.code}/src/pkg/app.py'") == PLAIN
    spawned = f"import subprocess, sys; subprocess.run([sys.executable, {'tools/app.py'!r}])"
    assert project.said(project.python, "-c", f"import sys; sys.path.pop(0)\n{spawned}") == PLAIN


def test_a_scripts_own_folder_and_that_of_a_module_come_first_as_python_has_it(
    project: JobPython,
) -> None:
    project.write("tools/installed.py", "NAME = 'beside the script'")
    project.write("tools/app.py", "import installed; print(installed.NAME)")
    project.write("src/tool/__main__.py", "import installed; print(installed.NAME)")
    assert project.said(project.python, "tools/app.py") == "beside the script"
    # `python -m` has the working folder first.
    assert project.said(project.python, "-m", "tool") == "the project"


def test_a_console_script_sees_the_package(project: JobPython) -> None:
    script = project.env / "bin/show"
    script.write_text(f"#!{project.python}\n{USES}")
    script.chmod(0o755)
    assert project.said("show") == PLAIN


def test_the_path_is_the_plain_one_with_the_project_behind_it(project: JobPython) -> None:
    plain = json.loads(subprocess.check_output([project.python, "-c", SHOW], text=True))
    places = json.loads(project.said(project.python, "-c", SHOW))
    assert places[: len(plain)] == plain
    added = [project.code / "src", project.code, project.agent]
    assert places[len(plain) :] == [*map(str, added), project.variables()["PYTHONPATH"]]


def test_a_path_of_the_users_own_comes_before_packages(project: JobPython) -> None:
    project.write("mine/installed.py", "NAME = 'mine'")
    path = f"{project.variables()['PYTHONPATH']}:{project.code}/mine"
    show = "import installed; print(installed.NAME)"
    assert project.said(
        project.python, "-c", f"import sys; sys.path.pop(0); {show}", PYTHONPATH=path
    ) == ("mine")


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_no_variable_of_python_has_to_be_heeded(project: JobPython, flag: str) -> None:
    project.write("tools/app.py", USES)
    assert project.said(project.python, flag, "tools/app.py") == PLAIN


def test_a_path_that_a_shell_sets_anew_does_no_harm(project: JobPython) -> None:
    project.write("tools/app.py", USES)
    assert project.said("sh", "-c", "PYTHONPATH=$PWD/no python tools/app.py") == PLAIN
    assert project.said("sh", "-c", "unset PYTHONPATH; python tools/app.py") == PLAIN
    (project.packages / "sitecustomize.py").write_text("import sys; sys.own = 'it ran'")
    show = "import lib, sys; print(sys.own)"
    assert project.said(project.python, "-I", "-c", show) == "it ran"


def test_outside_of_a_job_the_environment_is_as_any_other(project: JobPython) -> None:
    places = subprocess.check_output([project.python, "-c", SHOW], text=True)
    (project.packages / "remote_job.pth").unlink()
    assert subprocess.check_output([project.python, "-c", SHOW], text=True) == places


def test_the_environments_own_sitecustomize_runs_too(project: JobPython) -> None:
    (project.packages / "sitecustomize.py").write_text("import sys; sys.own = 'it ran'")
    show = "import sys, sitecustomize as s; print(sys.own, s.__file__)"
    said = project.said(project.python, "-c", show)
    assert said == f"it ran {project.packages}/sitecustomize.py"
    (project.packages / "sitecustomize.py").write_text("import no_such_module")
    done = project.run(project.python, "-c", "print('on it goes')")
    assert "no_such_module" in done.stderr and done.stdout == "on it goes\n"


def test_processes_that_a_program_spawns_import_alike(project: JobPython) -> None:
    project.write(
        "app.py",
        "import multiprocessing as m\n"
        "def work(): import logging, lib; print(logging.INFO, lib.NAME)\n"
        "if __name__ == '__main__':\n"
        "    process = m.get_context('spawn').Process(target=work)\n"
        "    process.start(); process.join()",
    )
    assert project.said(project.python, "app.py") == "20 lib of the project"


KERNEL = """
import json, sys
sys.path.append({packages!r})
from IPython.core.interactiveshell import InteractiveShell
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp(); app.init_path()
import installed, beside
print(json.dumps([installed.NAME, beside.NAME, sys.path.index(''), len(sys.path)]))
import subprocess
print(subprocess.check_output([sys.executable, "-c", "import os; print('REMOTE_NOTEBOOK_FOLDER' in os.environ)"], text=True))
"""


def test_a_kernel_finds_modules_beside_its_notebook_before_packages(project: JobPython) -> None:
    project.write("notebooks/beside.py", "NAME = 'beside the notebook'")
    # As `python -m ipykernel_launcher` takes the working folder away.
    kernel = "import sys; sys.path.pop(0)\n" + KERNEL.format(packages=str(own_packages()))
    folder = str(project.code / "notebooks")
    said = project.said(project.python, "-c", kernel, REMOTE_NOTEBOOK_FOLDER=folder).splitlines()
    installed, beside, working_folder, places = json.loads(said[0])
    assert (installed, beside) == ("the package", "beside the notebook")
    assert working_folder == places - 2
    # What the notebook starts is no notebook.
    assert said[1] == "False"


def test_a_start_of_python_imports_nothing_more(project: JobPython) -> None:
    show = "import sys; print(*sorted(sys.modules))"
    plain = subprocess.check_output([project.python, "-c", show], text=True).split()
    more = set(project.said(project.python, "-c", show).split()) - set(plain)
    assert more <= {"sitecustomize"}
