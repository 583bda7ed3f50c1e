"""One environment for each lock file, made by the real uv, without a network."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.agent import environments, processes
from remote.errors import JobError
from tests.agent.environments.conftest import PYTHON, UV, made
from tests.conftest import ROOT
from tests.waiting import until


def is_ready(env: Path) -> bool:
    return (env / environments.COMPLETE).is_file()


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


def test_the_log_holds_uvs_words_but_no_list_of_packages(
    uv: Path, code: Path, tmp_path: Path
) -> None:
    log = io.BytesIO()
    environments.of(tmp_path, code, PYTHON).make(log)
    assert b"Installed 1 package" in log.getvalue() and b" + thing" not in log.getvalue()


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
