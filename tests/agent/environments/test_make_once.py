"""One environment for each lock file, made by the real uv, without a network."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.agent import environments, processes
from remote.agent.environments.uv import digest, lock_file
from remote.errors import JobError
from tests.conftest import ROOT, UV_CACHE
from tests.waiting import until

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
    wheel = make_wheel(folder, "thing")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"./{wheel.name} --hash=sha256:{digest}\n"
    (folder / "requirements.lock").write_text(lock)
    return folder


def make_wheel(folder: Path, name: str, *, needs: str = "") -> Path:
    """A package with one module, whose VALUE is 42."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "VALUE = 42\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


def made(code: Path, root: Path, *extras: str) -> Path:
    env = environments.of(root, code, PYTHON, extras)
    env.make(io.BytesIO())
    return env.folder


def is_ready(env: Path) -> bool:
    return (env / environments.COMPLETE).is_file()


def modules(env: Path) -> set[str]:
    """Which of the tests' packages can be imported there."""
    code = "import importlib.util as u\nfor n in ('thing', 'more'):\n if u.find_spec(n): print(n)"
    python = str(env / "bin" / "python")
    return set(subprocess.check_output([python, "-I", "-c", code], text=True).split())


# Which lock file, which folder


def test_the_best_lock_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for name in reversed(environments.LOCK_FILES):
        (tmp_path / name).touch()
        assert lock_file(tmp_path).name == name


def test_without_a_lock_file_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").mkdir()
    with pytest.raises(JobError) as caught:
        lock_file(tmp_path)
    assert "requirements.lock" in caught.value.message and "uv pip compile" in caught.value.hint


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


# Making it


def test_an_environment_is_made_and_has_the_package(uv: Path, code: Path, tmp_path: Path) -> None:
    env = made(code, tmp_path)
    assert is_ready(env)
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
    env = environments.of(tmp_path, code, PYTHON).folder
    (env / "bin").mkdir(parents=True)
    (env / "half").touch()
    assert not is_ready(env)
    made(code, tmp_path)
    assert is_ready(env) and not (env / "half").exists()


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
    env, log = environments.of(tmp_path, code, PYTHON), io.BytesIO()
    with pytest.raises(JobError, match="uv ended with"):
        env.make(log)
    assert b"no-such-package-anywhere" in log.getvalue()
    assert not env.is_ready()


def test_a_wrong_hash_is_refused(uv: Path, code: Path, tmp_path: Path) -> None:
    lock = code / "requirements.lock"
    lock.write_text(lock.read_text().split("sha256:")[0] + "sha256:" + "0" * 64 + "\n")
    with pytest.raises(JobError):
        made(code, tmp_path)


def test_a_project_that_needs_nothing_gets_an_environment(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    (code / "requirements.lock").write_text("# nothing yet\n")
    assert is_ready(made(code, tmp_path))


def test_the_projects_own_settings_for_uv_do_not_matter(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    (code / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n')
    assert is_ready(made(code, tmp_path))


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
    log = io.BytesIO()
    environments.of(tmp_path, code, PYTHON).make(log)
    assert b"Installed 1 package" in log.getvalue() and b" + thing" not in log.getvalue()


def test_an_activated_environment_comes_first_on_the_path(tmp_path: Path) -> None:
    found = environments.activated(tmp_path, {"PATH": "/usr/bin", "HOME": "/h"})
    assert found["PATH"].split(os.pathsep) == [f"{tmp_path}/bin", "/usr/bin"]
    assert found["VIRTUAL_ENV"] == str(tmp_path) and found["HOME"] == "/h"


def test_an_account_without_a_path_gets_one(tmp_path: Path) -> None:
    assert environments.activated(tmp_path, {})["PATH"].startswith(f"{tmp_path}/bin{os.pathsep}")


# Kinds of lock files, and extras


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


def test_uv_lock(uv: Path, declared: Path, tmp_path: Path) -> None:
    subprocess.run([UV, "lock", "--quiet"], cwd=declared, check=True)
    assert modules(made(declared, tmp_path)) == {"thing"}
    assert modules(made(declared, tmp_path, "gpu")) == {"thing", "more"}
    with pytest.raises(JobError):
        made(declared, tmp_path, "no-such-extra")
    assert not (declared / ".venv").exists()


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


def test_each_extra_has_a_lock_file_of_its_own(uv: Path, code: Path, tmp_path: Path) -> None:
    wheel = make_wheel(code, "more")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (code / "requirements-gpu.lock").write_text(f"./{wheel.name} --hash=sha256:{digest}\n")
    assert modules(made(code, tmp_path)) == {"thing"}
    assert modules(made(code, tmp_path, "gpu")) == {"thing", "more"}


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


# Many at once, each a process of its own

MAKER = """\
import sys
from pathlib import Path
from remote.errors import RemoteError
from remote.agent import environments
code, root, job = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
try:
    with open(root / f"{job}.log", "ab", buffering=0) as log:
        environments.of(root, code, ">=3.8").make(log, job=job)
except RemoteError as error:
    sys.exit(error.message)
"""


@pytest.fixture
def slow_uv(uv: Path, tmp_path: Path) -> Path:
    """A uv that says so and waits for the file `go` before it makes anything, and counts calls."""
    (uv / "uv").unlink()
    script = f"""\
#!/bin/sh
test "$1" = --version && exit 0
echo "$1 $2" >> '{tmp_path}/calls'
if test "$1" = venv; then
echo "Downloading the world"
echo $$ > '{tmp_path}/pid'
while ! test -e '{tmp_path}/go'; do sleep 0.05; done
fi
exec '{UV}' "$@"
"""
    (uv / "uv").write_text(script)
    (uv / "uv").chmod(0o755)
    return tmp_path


@pytest.fixture
def start(code: Path, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a process that wants the environment for a job of that name."""
    started = []

    def run(job: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", MAKER, str(code), str(tmp_path), job]
        started.append(subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for each in started:
        each.kill()
        each.communicate()


def log_of(root: Path, job: str) -> str:
    path = root / f"{job}.log"
    return path.read_text() if path.exists() else ""


Start = Callable[[str], "subprocess.Popen[str]"]


def test_who_waits_sees_who_makes_it_and_how_far_it_is(slow_uv: Path, start: Start) -> None:
    first = start("job-1")
    until(lambda: "Downloading" in log_of(slow_uv, "job-1"))
    others = [start(f"job-{number}") for number in (2, 3)]
    for number in (2, 3):
        until(lambda job=f"job-{number}": "Downloading the world" in log_of(slow_uv, job))
        assert "which job job-1 is making" in log_of(slow_uv, f"job-{number}")
        assert "Installed" not in log_of(slow_uv, f"job-{number}")
    (slow_uv / "go").touch()
    assert [each.wait(30) for each in (first, *others)] == [0, 0, 0]
    said = [log_of(slow_uv, f"job-{number}") for number in (1, 2, 3)]
    assert all(text.count("Installed 1 package") == 1 for text in said)
    assert all(text.count("Downloading the world") == 1 for text in said)
    assert (slow_uv / "calls").read_text().split("\n").count("pip sync") == 1


def test_after_a_maker_that_was_killed_the_next_one_makes_it(slow_uv: Path, start: Start) -> None:
    first = start("job-1")
    until((slow_uv / "pid").exists)
    uv = int((slow_uv / "pid").read_text())
    second = start("job-2")
    until(lambda: "Downloading" in log_of(slow_uv, "job-2"))
    first.kill()
    until(lambda: log_of(slow_uv, "job-2").count("Downloading") == 2)
    assert not processes.started(uv), "the dead maker's uv goes on"
    (slow_uv / "go").touch()
    assert second.wait(30) == 0
    assert "[remote] making the environment" in log_of(slow_uv, "job-2")
    assert "Installed 1 package" in log_of(slow_uv, "job-2")


def test_nobody_makes_what_a_dead_makers_uv_still_writes_to(
    slow_uv: Path, start: Start, code: Path
) -> None:
    """A build that uv started may outlive them both: the lock is its too."""
    ready, go = slow_uv / "ready", slow_uv / "go"
    script = (slow_uv / "bin/uv").read_text()
    build = f"(touch '{ready}'; while ! test -e '{go}'; do sleep 0.05; done) &\n"
    (slow_uv / "bin/uv").write_text(script.replace("while", build + "while", 1))
    first = start("job-1")
    until(ready.exists)
    first.kill()
    second = start("job-2")
    time.sleep(0.5)
    assert "making the" not in log_of(slow_uv, "job-2")
    go.touch()
    assert second.wait(30) == 0


def test_who_waited_for_what_failed_fails_too_and_the_next_tries_again(
    slow_uv: Path, start: Start, code: Path
) -> None:
    lock = code / "requirements.lock"
    good = lock.read_bytes()
    (slow_uv / "bin/uv").write_text(
        (slow_uv / "bin/uv")
        .read_text()
        .replace("exec", f"test -e '{slow_uv}/good' || exit 7\nexec")
    )
    first = start("job-1")
    until(lambda: "Downloading" in log_of(slow_uv, "job-1"))
    second = start("job-2")
    until(lambda: "Downloading" in log_of(slow_uv, "job-2"))
    (slow_uv / "go").touch()
    assert "uv ended with 7" in first.communicate(timeout=30)[1]
    assert "uv ended with 7" in second.communicate(timeout=30)[1]
    assert (slow_uv / "calls").read_text().count("venv") == 1
    (slow_uv / "good").touch()
    assert lock.read_bytes() == good and start("job-3").wait(30) == 0


def test_ten_at_once_make_it_once(slow_uv: Path, start: Start) -> None:
    (slow_uv / "go").touch()
    started = [start(f"job-{number}") for number in range(10)]
    assert [each.wait(60) for each in started] == [0] * 10
    assert (slow_uv / "calls").read_text().count("venv") == 1
    assert all("environment is ready" in log_of(slow_uv, f"job-{n}") for n in range(10))


def test_a_stop_in_the_middle_ends_uv_and_frees_the_lock(slow_uv: Path, start: Start) -> None:
    first = start("job-1")
    until((slow_uv / "pid").exists)
    uv = int((slow_uv / "pid").read_text())
    first.send_signal(signal.SIGINT)
    first.wait(20)
    until(lambda: not processes.started(uv))
    (slow_uv / "go").touch()
    assert start("job-2").wait(30) == 0
