"""A job's copy of the code: frozen, cheap, and with the shared folders linked in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from remote.agent.jobs.accept import accept
from remote.agent.jobs.submit import freezing, launch
from remote.errors import TargetError
from remote.job.messages.jobs import SubmitRequest
from remote.job.outputs import links
from remote.job.paths import STATE, JobPaths
from remote.job.spec import Job, JobSpec
from tests.agent.job_folder import KEY, Elsewhere

pytestmark = pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")

ODD = [
    "two words.py",
    "new\nline.py",
    "日本語.py",
    "-rf",
    "it's.py",
    '"q".py',
    "$(x).py",
    "[a]*.py",
]


@pytest.fixture(params=["target", "my target's $(x) 日本"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / request.param
    write(folder / "src/lib/model.py", "v1")
    write(folder / "src/train.py", "same")
    return folder


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def snapshot(root: Path, number: int, *declared: str) -> Path:
    """What submitting the job of that number freezes."""
    paths = JobPaths(root, f"20260101-00000{number}-train-abcd")
    paths.folder.mkdir(parents=True)
    with freezing(paths, paths.root, declared):
        pass
    return paths.code


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_the_code_is_copied_with_modes_and_times(root: Path) -> None:
    (root / "src/train.py").chmod(0o755)
    os.utime(root / "src/train.py", (1_000_000, 1_000_000))
    code = snapshot(root, 1)
    assert (code / "src/lib/model.py").read_text() == "v1"
    assert (code / "src/train.py").stat().st_mode & 0o777 == 0o755
    assert (code / "src/train.py").stat().st_mtime == 1_000_000


def test_nobody_else_may_change_the_copy(root: Path) -> None:
    (root / "src/train.py").chmod(0o666)
    (root / "src").chmod(0o2777)
    assert os.stat(snapshot(root, 1) / "src/train.py").st_mode & 0o777 == 0o644
    code = snapshot(root, 2)
    assert (code / "src").stat().st_mode & 0o022 == 0 and code.stat().st_mode & 0o022 == 0
    shared = [path / "src/train.py" for path in code.parent.parent.glob("*/pristine")]
    assert len({inode(path) for path in shared}) == 1 and len(shared) == 2


def test_odd_names_and_links_are_copied(root: Path) -> None:
    for name in ODD:
        write(root / "src" / name, name)
    (root / "link.py").symlink_to("src/train.py")
    code = snapshot(root, 1)
    assert {(code / "src" / name).read_text() for name in ODD} == set(ODD)
    assert os.readlink(code / "link.py") == "src/train.py"


def test_a_removed_package_is_gone_though_its_caches_are_left(root: Path) -> None:
    write(root / "src/removed/__pycache__/a.cpython-311.pyc")
    write(root / "src/removed/inner/.ipynb_checkpoints/a-checkpoint.ipynb")
    write(root / "src/lib/__pycache__/model.cpython-311.pyc")
    (root / "checkpoints").mkdir()
    code = snapshot(root, 1)
    assert not (code / "src/removed").exists()
    assert os.listdir(code / "src/lib") == ["model.py"] and (code / "checkpoints").is_dir()


def test_a_project_without_a_file_has_its_copy(tmp_path: Path) -> None:
    (tmp_path / "empty" / STATE).mkdir(parents=True)
    assert sorted(os.listdir(snapshot(tmp_path / "empty", 1))) == sorted(links())


def test_unchanged_files_are_shared_with_the_snapshot_before(root: Path) -> None:
    first, second = snapshot(root, 1), snapshot(root, 2)
    assert inode(first / "src/train.py") == inode(second / "src/train.py")


def test_the_newest_snapshot_is_shared_with(root: Path) -> None:
    snapshot(root, 1)
    write(root / "src/lib/model.py", "version 2")
    second, third = snapshot(root, 2), snapshot(root, 3)
    assert inode(second / "src/lib/model.py") == inode(third / "src/lib/model.py")


def test_nothing_is_ever_shared_with_the_live_tree(root: Path) -> None:
    for code in (snapshot(root, 1), snapshot(root, 2)):
        for name in ("src/train.py", "src/lib/model.py"):
            assert inode(code / name) != inode(root / name)


def test_an_edit_in_place_does_not_reach_a_job(root: Path) -> None:
    first, second = snapshot(root, 1), snapshot(root, 2)
    with open(root / "src/lib/model.py", "r+") as file:
        file.write("XX")
    assert (first / "src/lib/model.py").read_text() == "v1"
    assert (second / "src/lib/model.py").read_text() == "v1"


def test_what_is_deleted_or_added_later_does_not_show(root: Path) -> None:
    code = snapshot(root, 1)
    shutil.rmtree(root / "src/lib")
    write(root / "src/new.py")
    assert (code / "src/lib/model.py").read_text() == "v1" and not (code / "src/new.py").exists()


def test_a_later_snapshot_has_the_change_and_the_earlier_has_not(root: Path) -> None:
    first = snapshot(root, 1)
    write(root / "src/lib/model.py", "version 2")
    (root / "src/train.py").unlink()
    second = snapshot(root, 2)
    assert (second / "src/lib/model.py").read_text() == "version 2"
    assert not (second / "src/train.py").exists()
    assert (first / "src/lib/model.py").read_text() == "v1" and (first / "src/train.py").exists()


def test_a_change_of_mode_alone_leaves_the_earlier_snapshot_alone(root: Path) -> None:
    first = snapshot(root, 1)
    (root / "src/train.py").chmod(0o700)
    second = snapshot(root, 2)
    assert (second / "src/train.py").stat().st_mode & 0o777 == 0o700
    assert (first / "src/train.py").stat().st_mode & 0o777 != 0o700


def test_shared_folders_are_links_to_the_targets_own(root: Path) -> None:
    write(root / "data/raw/big.bin")
    write(root / "mlruns/1/r/x")
    code = snapshot(root, 1)
    for name in links():
        assert os.readlink(code / name) == str(root / name), name
    write(code / "outputs/new.txt", "from the job")
    assert (root / "outputs/new.txt").read_text() == "from the job"
    assert (code / "data/raw/big.bin").is_file()


def test_declared_outputs_are_links_and_none_of_their_content_is_copied(root: Path) -> None:
    for name in ("exp/ckpt/a.pt", "exp/run.py", "model.pkl", "data/06_models/m.pkl"):
        write(root / name)
    code = snapshot(root, 1, "exp/ckpt", "model.pkl", "new.pkl", "data/06_models")
    assert os.readlink(code / "exp/ckpt") == str(root / "exp/ckpt")
    assert (code / "exp/run.py").is_file() and (code / "data/06_models/m.pkl").is_file()
    write(code / "new.pkl", "from the job")
    assert (root / "new.pkl").read_text() == "from the job"
    again = JobPaths(root, "20260101-000002-train-abcd")
    again.folder.mkdir(parents=True)
    with freezing(again, code, ["exp/ckpt", "model.pkl", "new.pkl"]):
        pass
    assert os.readlink(again.code / "model.pkl") == str(root / "model.pkl")


def test_a_file_in_the_place_of_an_output_folder_is_named(root: Path) -> None:
    write(root / "out")
    with pytest.raises(TargetError, match="/out on the server is a file"):
        snapshot(root, 1, "out")


def test_a_database_that_is_not_there_yet_is_made_where_it_belongs(root: Path) -> None:
    code = snapshot(root, 1)
    assert not (root / "mlflow.db").exists()
    (code / "mlflow.db").write_text("made by the job")
    assert (root / "mlflow.db").read_text() == "made by the job"


def test_a_data_folder_on_another_disk_is_linked(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "disk/raw/big.bin")
    (root / "data").symlink_to(tmp_path / "disk")
    assert (snapshot(root, 1) / "data/raw/big.bin").is_file()


def test_the_toolkits_own_folder_and_leftovers_are_left_out(root: Path) -> None:
    write(root / STATE / "envs/e/x")
    write(root / "mlflow.db-wal")
    write(root / "mlartifacts/x")
    write(root / "src/.~tmp~/half")
    write(root / "src/data/code.py")
    code = snapshot(root, 1)
    for name in (STATE, "mlflow.db-wal", "mlartifacts", "src/.~tmp~"):
        assert not os.path.lexists(code / name), name
    assert (code / "src/data/code.py").is_file()


def test_a_job_folder_without_a_snapshot_is_passed_over(root: Path) -> None:
    first = snapshot(root, 1)
    (root / STATE / "jobs/20260101-000005-empty-abcd").mkdir()
    assert inode(snapshot(root, 6) / "src/train.py") == inode(first / "src/train.py")


def test_an_empty_project_can_be_frozen(tmp_path: Path) -> None:
    assert (snapshot(tmp_path / "t", 1) / "data").is_symlink()


def test_a_worker_on_another_machine_finds_its_code(
    root: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the copy takes: nobody there can tell whether it still comes."""
    found = list[bool]()

    def start(job: Job, argv: Sequence[str], setting: str) -> dict[str, int]:
        found.append((JobPaths(Path(job.root), job.id).code / "src/train.py").is_file())
        return {"number": 7}

    monkeypatch.setattr(elsewhere, "start", start)
    spec = JobSpec(kind="command", source="", name="train")
    paths = accept(root, spec, "ab" * 16)
    assert paths
    launch(paths, SubmitRequest(key=KEY, job=spec), "elsewhere", freezing(paths, root))
    assert found == [True]


def test_a_copy_that_fails_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = write(root.parent / "bin/rsync", "#!/bin/sh\necho 'rsync: weird' >&2\nexit 11\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(TargetError, match="could not be made: rsync: weird\nCopies are made in"):
        snapshot(root, 1)


def test_a_full_disk_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = 'rsync: [receiver] write failed on "/x": No space left on device (28)'
    fake = write(root.parent / "bin/rsync", f"#!/bin/sh\necho '{words}' >&2\nexit 11\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(TargetError, match="No space left on the server's disk"):
        snapshot(root, 1)


def test_a_file_nobody_may_read_is_told_by_name(root: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    write(root / "secret.bin").chmod(0)
    with pytest.raises(TargetError, match="secret.bin"):
        snapshot(root, 1)


def test_a_snapshot_costs_no_space(root: Path) -> None:
    (root / "weights.bin").write_bytes(os.urandom(3_000_000))
    for number in (1, 2, 3):
        snapshot(root, number)
    used = subprocess.check_output(["du", "-sk", str(root / STATE)]).split()[0]
    assert int(used) < 4500
