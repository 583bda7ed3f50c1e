"""What a server sends into the folders that it fills: nothing of it acts by being there or leads out.

A hostile sender heeds no rule of ours, and an old receiver (rsync before 3.2.5, a Mac's) believes it:
both are an rsync in front of the real one that forgets the rules and trusts the sender.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import JobError
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, Unpulled
from remote.operations.fetch import fetch
from remote.operations.sync import Pulled, pull, push
from remote.operations.tracking.merge_records import merge_store
from remote.session import TargetSession
from remote.target import Target
from remote.transport.acting_files import NAMES, acts
from tests.conftest import ProjectFolder
from tests.faults.test_bad_paths import add_run
from tests.stores import empty_store

BELIEVER = """#!{python}
import os, sys
rules = ("--exclude", "--include", "--safe-links", "--debug", "--remote-option", "--files-from", "--from0")
words = [word for word in sys.argv[1:] if not word.startswith(rules) or "--help" in sys.argv]
os.execv("{rsync}", ["rsync", "--trust-sender", *words])
"""

OLD_SERVER = """#!/bin/sh
case "$*" in *--debug*) echo "rsync: --debug=FILTER1: unknown option" >&2; exit 12;; esac
exec {rsync} "$@"
"""

#: What acts by being there, in some of its spellings.
ACTING = (
    ".git/config",
    "plots/.git/hooks/post-checkout",
    "plots/.GIT",
    "sub/.hg/hgrc",
    "bare/HEAD",
    ".envrc",
    "deep/er/.ENV",
    "mise.local.toml",
    ".vscode/tasks.json",
    ".Idea/x.xml",
    "x.devcontainer/.devcontainer/devcontainer.json",
    ".nvim.lua",
    "sitecustomize.py",
    "lib/usercustomize.cpython-311-x86_64-linux-gnu.so",
    "conftest.py",
    "a/test_planted.py",
    "jupyter_server_config.py",
    "tasks.py",
    "Tasks.py",
    "b/TASKS/__init__.py",
    "Makefile",
    "GNUmakefile",
    "justfile",
)

#: Spellings that no pattern of rsync's names, and that HFS+, APFS or exFAT hold for one of those.
DISGUISED = (
    "ta\u017fks.py",
    "ma\u212aefile",
    ".g\u200cit/config",
    ".gi\ufefft",
    "Make\ufb01le",
    "tasks.py.",
    ".envrc ",
)

#: What looks like it, and is what jobs write.
HONEST = (
    "model.pth",
    ".hydra/config.yaml",
    "a.zarr/.zgroup",
    "run/head/weights.bin",
    "tasks/arithmetic.json",
    "test_loss.png",
    "test_predictions.csv",
    "clone/pyproject.toml",
    "clone/src/main.py",
    "git/notes.txt",
    "env/.python-version",
    "\u30bf\u30b9\u30af.py",
)


def write(path: Path, text: str = "planted") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def names(top: Path) -> set[str]:
    return {
        path.relative_to(top).as_posix()
        for path in top.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    write(tmp_path / "project/src/train.py")
    session = TargetSession.of(
        Project(tmp_path / "project", {}), Target.parse(f"{tmp_path}/a target")
    )
    push(session)
    return session


@pytest.fixture
def here(server: TargetSession) -> Path:
    return server.project.root


@pytest.fixture
def there(server: TargetSession) -> Path:
    return Path(server.target.path)


def put_before_rsync(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have a program of the test's own be called as rsync."""
    program = folder / "bin/rsync"
    write(program, text.format(python=sys.executable, rsync=shutil.which("rsync")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.fixture
def believer(tmp_path: Path, server: TargetSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile sender before an old receiver, from now on."""
    put_before_rsync(tmp_path, monkeypatch, BELIEVER)


def pulled(server: TargetSession) -> Pulled:
    return pull(TargetSession.of(server.project, server.target))


def plant(folder: Path, *more: str) -> None:
    for name in (*ACTING, *DISGUISED, *HONEST, *more):
        write(folder / name)


@pytest.mark.parametrize("folder", ["data/results", "outputs", "logs"])
def test_what_acts_by_being_there_stays_there_and_is_named(
    server: TargetSession, here: Path, there: Path, folder: str
) -> None:
    plant(there / folder)
    files = pulled(server).files
    assert names(here / folder) == set(HONEST)
    # Of a folder that acts, its own name is told.
    told = {f"{folder}/{name}" for name in (*ACTING, *DISGUISED)}
    assert files.problems == [] and all(acts(name) for name in files.acting)
    assert all(any(f"{name}/".startswith(f"{own}/") for own in files.acting) for name in told)
    again = pulled(server).files
    assert names(here / folder) == set(HONEST) and again.replaced == []


@pytest.mark.usefixtures("believer")
def test_an_old_receiver_and_a_hostile_sender_plant_nothing(
    server: TargetSession, here: Path, there: Path
) -> None:
    plant(there / "data/results")
    for name in (".envrc", ".git/hooks/pre-commit", "kept/conftest.py"):
        write(here / "data/results" / name, "the user's own")
    write(there / "data/results/.git/hooks/pre-commit", "planted there, longer")
    files = pulled(server).files
    own = {".envrc", ".git/hooks/pre-commit", "kept/conftest.py"}
    assert names(here / "data/results") == {*HONEST, *own}
    assert all((here / "data/results" / name).read_text() == "the user's own" for name in own)
    # In the backup by names that don't act.
    kept = {path.name for path in (here / ".remote/backup").rglob("*") if path.is_file()}
    assert {"tasks.py.left", ".envrc.left"} <= kept and not kept & {"tasks.py", ".envrc"}
    assert "data/results/tasks.py" in files.acting and "data/results/.envrc" in files.acting


def test_rsync_and_our_own_look_know_the_same_names(
    server: TargetSession, here: Path, there: Path
) -> None:
    plain = [name.replace("*", "x").replace("[0-9]", "1") for name in NAMES]
    spellings = [each for name in plain for each in (name, name.upper(), name.capitalize())]
    assert all(map(acts, spellings))
    for spelling in spellings:
        write(there / "logs" / spelling / "x")
    write(there / "logs/fine")
    assert set(pulled(server).files.acting) == {f"logs/{each}" for each in spellings}
    assert os.listdir(here / "logs") == ["fine"]


#: Links in data/results, that leave it. `p` is a link to its own folder: a path through it is shorter
#: than it looks (CVE-2024-12088).
ASTRAY = (
    "../../tasks.py",
    "../../.git/hooks",
    "../../.venv/bin/python",
    "../raw",
    "../../src",
    "../../../outside",
    "/etc",
    "sub/../../../src",
    "p/p/p/../../../../../src",
    "p/p/p/p/p/p/../../../../../../src/train.py",
    "./.././../src",
    "other/../..//..//src",
)


@pytest.mark.parametrize("receiver", ["as it is", "old"])
def test_no_link_leaves_the_folder_that_is_pulled(
    server: TargetSession, here: Path, there: Path, receiver: str, request: pytest.FixtureRequest
) -> None:
    if receiver == "old":
        request.getfixturevalue("believer")
    top = there / "data/results"
    write(top / "sub/inside")
    (top / "p").symlink_to(".")
    (top / "fine").symlink_to("sub/inside")
    links = {f"x{number}": target for number, target in enumerate(ASTRAY)}
    links |= {f"sub/{name}": f"../{target}" for name, target in links.items() if target[0] != "/"}
    for name, target in links.items():
        (top / name).symlink_to(target)
    left = pulled(server).files.left
    assert names(here / "data/results") == {"sub/inside", "p", "fine"}
    assert {line.split(" -> ")[0] for line in left} == {f"data/results/{name}" for name in links}
    # And what comes in their place next time stays here.
    for name in links:
        (top / name).unlink()
        write(top / name / "train.py")
    pulled(server)
    assert (here / "data/results/x0/train.py").is_file() and names(here / "src") == {"train.py"}


def test_the_users_own_links_stay_and_what_leads_through_them_comes(
    server: TargetSession, here: Path, there: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (here / "data/results").mkdir(parents=True)
    (here / "data/results/big").symlink_to(tmp_path / "disk")
    (here / "data/results/note").symlink_to("../../src/train.py")
    write(there / "data/results/big/epoch 1/model.pt")
    write(there / "data/results/big/.envrc")
    (there / "data/results/latest").symlink_to("big/epoch 1")
    (there / "data/results/past").symlink_to("big/../../secret")
    pulled(server)
    assert names(here / "data/results") == {"big", "note", "latest"}
    assert names(tmp_path / "disk") == {"epoch 1/model.pt"}
    assert (here / "data/results/latest/model.pt").exists()


def test_a_server_whose_rsync_is_older_names_nothing_but_is_pulled_from(
    server: TargetSession, here: Path, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(there / "logs/.envrc")
    write(there / "logs/l")
    put_before_rsync(tmp_path, monkeypatch, OLD_SERVER)
    assert pulled(server).files.acting == []
    assert names(here / "logs") == {"l"}


LEFT = ("out/a.pt", "out/conftest.py", "clone/.git/config", "Tasks.py")


@pytest.fixture
def job(there: Path) -> JobPaths:
    """A job that left files, some of which act."""
    paths = JobPaths(there, "20260101-090000-train-aaaa")
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": paths.id, "name": "train", "kind": "script", "source": "a.py"})
    write_json(paths.status, {"state": FINISHED})
    for name in LEFT:
        write(paths.code / name)
    Unpulled(files=dict.fromkeys(LEFT, 7)).to_file(paths.unpulled)
    return paths


def test_a_fetch_leaves_what_acts_but_takes_it_by_its_name(
    server: TargetSession, here: Path, job: JobPaths
) -> None:
    top = here / "data/results/fetched" / job.id
    done = fetch(server, job.id, ())
    assert names(top) == {"out/a.pt"} and set(done.acting) == set(LEFT) - {"out/a.pt"}
    for wanted in (["out/"], ["*.py"], ["clone"]):
        assert set(done.acting) >= set(fetch(server, job.id, wanted).acting) != set()
    assert names(top) == {"out/a.pt"}
    assert set(fetch(server, job.id, ["clone/.git", "Tasks.py"]).files) == {*LEFT[2:]}
    assert names(top) == set(LEFT) - {"out/conftest.py"}


@pytest.mark.usefixtures("believer")
def test_a_fetch_from_a_hostile_sender_keeps_what_was_taken_before(
    server: TargetSession, here: Path, job: JobPaths
) -> None:
    fetch(server, job.id, ["Tasks.py"])
    (job.code / "out/link").symlink_to("../../../src")
    fetch(server, job.id, ["out/a.pt"])
    assert names(here / "data/results/fetched" / job.id) == {"Tasks.py", "out/a.pt"}
    with pytest.raises(JobError):
        fetch(server, job.id, ["nothing"])


@pytest.mark.parametrize("receiver", ["as it is", "old"])
@pytest.mark.parametrize("becomes", ["../../../../../src", "/etc", "a folder"])
def test_what_a_job_left_becomes_something_else_between_list_and_fetch(
    server: TargetSession,
    here: Path,
    job: JobPaths,
    becomes: str,
    receiver: str,
    request: pytest.FixtureRequest,
) -> None:
    if receiver == "old":
        request.getfixturevalue("believer")
    (job.code / "out/a.pt").unlink()
    if becomes == "a folder":
        write(job.code / "out/a.pt/.git/config")
    else:
        (job.code / "out/a.pt").symlink_to(becomes)
    done = fetch(server, job.id, ["out/a.pt"])
    assert names(here / "data/results/fetched" / job.id) == set() and done.files == {}
    assert (here / "src/train.py").read_text() == "planted"


MODEL = (
    "MLmodel",
    "conda.yaml",
    "python_env.yaml",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
)


@pytest.mark.mlflow
@pytest.mark.parametrize("receiver", ["as it is", "old"])
def test_a_model_comes_whole_but_for_what_acts(
    tmp_path: Path, receiver: str, request: pytest.FixtureRequest
) -> None:
    if receiver == "old":
        request.getfixturevalue("believer")
    project = Project(tmp_path / "project", {})
    empty_store(project.root)
    empty_store(tmp_path / "copy")
    artifacts = add_run(tmp_path / "copy", "a" * 32).parent
    for name in (*MODEL, "code/lib/net.py", "code/conftest.py", "code/.git/config", ".vſcode/x"):
        write(artifacts / "model" / name)
    (artifacts / "model/other").symlink_to(f"../../../{'b' * 32}/artifacts/model")
    records = merge_store(project, str(tmp_path / "copy"))
    (folder,) = project.root.glob("mlruns/*/*/artifacts")
    assert names(folder / "model") == {*MODEL, "code/lib/net.py"}
    assert names(folder) >= {"note.txt"}
    acting = {Path(name).name for name in records.acting}
    assert acting >= {"conftest.py", ".git", ".vſcode"} and records.problems == []


@pytest.mark.mlflow
@pytest.mark.parametrize("receiver", ["as it is", "old"])
def test_what_an_old_receiver_still_lets_a_sender_replace(
    tmp_path: Path, receiver: str, request: pytest.FixtureRequest
) -> None:
    """Artifacts of other runs in the experiment that is brought: `inv doctor` warns of such an rsync."""
    project, copy = Project(tmp_path / "project", {}), tmp_path / "copy"
    empty_store(project.root)
    empty_store(copy)
    note = add_run(copy, "b" * 32)
    merge_store(project, str(copy))
    (kept,) = project.root.glob(f"mlruns/*/{'b' * 32}/artifacts/note.txt")
    kept.write_text("edited here")
    write(note, "replaced, unasked")
    add_run(copy, "c" * 32)
    if receiver == "old":
        request.getfixturevalue("believer")
    records = merge_store(project, str(copy))
    if receiver == "as it is":
        assert kept.read_text() == "edited here" and records.replaced == []
    else:
        assert kept.read_text() == "replaced, unasked"
        backup = project.root / records.backup / kept.relative_to(project.root)
        assert backup.read_text() == "edited here" and len(records.replaced) == 1


def test_a_pull_tells_what_stays_there_and_ends_well(
    project: ProjectFolder, target_root: Path
) -> None:
    project.inv("sync-push")
    subprocess.run(["git", "init", "-q", target_root / "data/results/clone"], check=True)
    write(target_root / "data/results/clone/README")
    write(target_root / "data/results/\x1b[2Jx/tasks.py")
    (target_root / "outputs/x.py").symlink_to("../tasks.py")
    done = project.inv("sync-pull")
    assert names(project.root / "data/results") == {"clone/README"}
    assert "it takes effect just by existing: data/results/clone/.git\n" in done.err
    assert "since it leads out of its folder: outputs/x.py -> ../tasks.py" in done.err
    assert "copy it by hand" in done.err and "\x1b" not in done.err and "tasks.py" in done.err
