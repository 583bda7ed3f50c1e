"""Packages that are part of the project: the real uv, without a network, and a job's imports."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import local_packages
from remote.rpc.bundle import contents
from tests.agent.environments.conftest import UV

#: A build backend of the project's own, which needs nothing.
BACKEND = """\
import base64, hashlib, pathlib, re, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    text = pathlib.Path("pyproject.toml").read_text()
    name = re.search(r'^name = "(.*)"', text, re.M)[1]
    info = f"{name}-1.0.dist-info"
    files = {f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    needs = re.search(r'^dependencies = \\["(.*)"\\]', text, re.M)
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
        + (f"Requires-Dist: {needs[1]}\\n" if needs else "")
    )
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\\nsay-{name} = {name}:say\\n"
    top = next(p for p in (pathlib.Path("src"), pathlib.Path()) if (p / name).is_dir())
    for path in (top / name).glob("*.py"):
        files[f"{name}/{path.name}"] = path.read_text()
    pathlib.Path("left-by-the-build").touch()
    record = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    files[f"{info}/RECORD"] = record
    wheel = f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel
"""


def package(
    code: Path, place: str, name: str, *, src: bool, needs: str = "", more: str = ""
) -> None:
    """A local package with a command `say-<name>`, which prints its VALUE."""
    folder = code / place
    module = folder / "src" / name if src else folder / name
    module.mkdir(parents=True, exist_ok=True)
    (folder / "inline_backend.py").write_text(BACKEND)
    dependencies = f'dependencies = ["{needs}"]\n' if needs else ""
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "inline_backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.8"\n'
        f"{dependencies}{more}"
    )
    write(module, "v1")


def write(module: Path, value: str) -> None:
    (module / "__init__.py").write_text(f"VALUE = '{value}'\ndef say(): print(VALUE)\n")


class Project:
    """A project whose jobs each have a snapshot."""

    def __init__(self, tmp_path: Path, code: Path) -> None:
        self.root, self.code, self.jobs = tmp_path / "target", code, 0
        self.agent = tmp_path / "agent"
        for name, data in contents().items():
            (self.agent / name).parent.mkdir(parents=True, exist_ok=True)
            (self.agent / name).write_bytes(data)

    def job(self, *words: str) -> tuple[str, str]:
        """What a program prints in a new job, whose snapshot is gone afterwards; and its
        environment's name."""
        self.jobs += 1
        snapshot = self.root / f"job-{self.jobs}/code"
        shutil.copytree(self.code, snapshot)
        before = sorted(snapshot.rglob("*"))
        env = environments.of(self.root, snapshot)
        env.make(log := io.BytesIO())
        assert sorted(snapshot.rglob("*")) == before, "the build left something there"
        places = [snapshot / "src", snapshot, *local_packages.import_roots(env.folder, snapshot)]
        variables = {
            "PATH": f"{env.folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self.agent / "remote/runtime/site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "REMOTE_IMPORT_PATH": os.pathsep.join(map(str, places)),
        }
        done = subprocess.run(words, cwd=snapshot, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + log.getvalue().decode()
        shutil.rmtree(snapshot)
        return done.stdout.strip(), env.name


@pytest.fixture
def project(uv: Path, code: Path, tmp_path: Path) -> Project:
    """A project with a local package `backend`, which needs `thing`."""
    (code / "requirements.lock").unlink()
    package(code, "pkgs/backend", "backend", src=True, needs="thing")
    return Project(tmp_path, code)


SHOW = "import backend, thing; print(backend.VALUE, thing.VALUE)"


def says_this_push(project: Project, module: Path) -> None:
    """Each job runs the code that was pushed for it, in the same environment."""
    said, name = project.job("python", "-c", SHOW)
    assert said == "v1 42"
    write(module, "v2")
    assert project.job("python", "-c", SHOW) == ("v2 42", name)
    # It is installed: it has a command, and a version.
    version = "from importlib.metadata import version; print(version('backend'))"
    assert project.job("say-backend") == ("v2", name)
    assert project.job("python", "-c", version) == ("1.0", name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    ["./pkgs/backend", "-e ./pkgs/backend", "-e pkgs/backend", "backend @ file:./pkgs/backend"],
)
def test_a_requirement_that_is_a_folder_runs_the_code_of_this_push(
    project: Project, line: str
) -> None:
    wheels = "--no-index\n--find-links .\n"
    (project.code / "requirements.txt").write_text(f"{wheels}{line}  # ours\n")
    says_this_push(project, project.code / "pkgs/backend/src/backend")


@pytest.mark.slow
def test_the_project_itself_is_installed_too(project: Project) -> None:
    package(project.code, ".", "backend", src=False, needs="thing")
    (project.code / "requirements.txt").write_text("--no-index\n--find-links .\n-e .\n")
    says_this_push(project, project.code / "backend")


@pytest.mark.slow
@pytest.mark.parametrize("packaged", [False, True])
def test_the_members_of_a_workspace_run_the_code_of_this_push(
    project: Project, packaged: bool
) -> None:
    sources = (
        '[tool.uv.workspace]\nmembers = ["pkgs/*"]\n[tool.uv.sources]\nbackend = { workspace = true'
        ' }\nthing = { path = "thing-1.0-py3-none-any.whl" }\n'
    )
    package(project.code, ".", "app", src=True, needs="backend", more=sources)
    if not packaged:
        text = (project.code / "pyproject.toml").read_text()
        (project.code / "pyproject.toml").write_text("[project]" + text.partition("[project]")[2])
    subprocess.run([UV, "lock", "--quiet"], cwd=project.code, check=True)
    says_this_push(project, project.code / "pkgs/backend/src/backend")
    assert packaged is (project.job("sh", "-c", "command -v say-app || true")[0] != "")


@pytest.mark.slow
def test_what_has_to_be_compiled_is_installed_for_each_content(project: Project) -> None:
    package(project.code, "pkgs/backend", "backend", src=True, more="[tool.maturin]\n")
    (project.code / "requirements.txt").write_text("-e ./pkgs/backend\n")
    show = "import backend; print(backend.VALUE, 'site-packages' in backend.__file__)"
    said, name = project.job("python", "-c", show)
    assert said == "v1 True"
    write(project.code / "pkgs/backend/src/backend", "v2")
    said, other = project.job("python", "-c", show)
    assert said == "v2 True" and other != name


# What names an environment


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", '[[package]]\nname = "b"\nsource = { editable = "pkgs/b" }\n'),
        ("uv.lock", '[[package]]\nname = "b"\nsource = { directory = "pkgs/b" }\n'),
        ("pylock.toml", '[[packages]]\nname = "b"\ndirectory = { path = "./pkgs/b" }\n'),
        ("pylock.toml", '[[packages]]\nname = "b"\n[packages.directory]\npath = "pkgs/b"\n'),
        ("poetry.lock", '[package.source]\ntype = "directory"\nurl = "pkgs/b"\n'),
        ("requirements.txt", "pkgs/b[gpu] ; python_version > '3'\n"),
        ("requirements.lock", "a==1 \\\n    --hash=sha256:00\n--editable=./pkgs/b\n    # via x\n"),
        ("requirements.txt", "b[gpu] @ file:pkgs/b\n"),
        ("requirements.txt", "b @ file://${PROJECT_ROOT}/pkgs/b\n"),
        ("requirements.txt", "-e b @ ./pkgs/b\n"),
        ("requirements.txt", "\ufeff./pkgs/b\r\n"),
        ("requirements.txt", "-r 'more lists.txt'\n"),
        ("pylock.toml", '[[packages]]\r\nname = "b"\r\n[packages.directory]\r\npath = "pkgs/b"\r\n'),
        ("poetry.lock", '[package.source]\r\ntype = "directory"\r\nurl = "pkgs/b"\r\n'),
        ("environment.yml", "dependencies:\n  - pip:\n    - '-e ./pkgs/b'\n"),
        ("environment.yml", "dependencies:\n  - pip:\n    - \"-r 'more lists.txt'\"\n"),
    ],
)  # fmt: skip
def test_each_lock_file_names_its_local_packages(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "more lists.txt").write_text("./pkgs/b\n")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "pkgs/b").mkdir(parents=True)
    (tmp_path / "pkgs/b/setup.py").touch()
    (tmp_path / name).write_bytes(text.encode())
    if "more" not in text:
        assert local_packages.folders(tmp_path, [tmp_path / name]) == ["pkgs/b"]
    first = environments.of(tmp_path, tmp_path).name
    (tmp_path / "pkgs/b/module.py").write_text("a = 1")
    assert environments.of(tmp_path, tmp_path).name == first
    (tmp_path / "pkgs/b/setup.py").write_text("install_requires = ['more']")
    assert environments.of(tmp_path, tmp_path).name != first


def test_a_list_that_a_declaration_takes_dependencies_from_counts(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "pyproject.toml").write_text('dependencies = { file = ["lists/base.in"] }\n')
    (tmp_path / "requirements.txt").write_text("-e .\n")
    (tmp_path / "lists/base.in").write_text("a==1\n")
    first = environments.of(tmp_path, tmp_path).name
    (tmp_path / "lists/base.in").write_text("a==2\n")
    assert environments.of(tmp_path, tmp_path).name != first


def test_an_archive_that_is_built_anew_under_its_name_counts(tmp_path: Path) -> None:
    wheel = tmp_path / "wheels/b-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"1")
    (tmp_path / "requirements.txt").write_text("./wheels/b-1-py3-none-any.whl\n")
    first = environments.of(tmp_path, tmp_path).name
    wheel.write_bytes(b"2")
    assert environments.of(tmp_path, tmp_path).name != first


def test_what_is_no_folder_of_the_project_is_none_of_its_packages(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for name in ("code/numpy", "outside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "setup.py").touch()
    lock = code / "requirements.txt"
    lock.write_text("numpy\n-e ../outside\n-r other.txt\n./gone\nhttps://host/x.whl\n# ./numpy\n")
    assert local_packages.folders(code, [lock]) == []
