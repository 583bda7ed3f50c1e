"""Files of jobs and targets that are there and can't be read now: named, and not taken for missing.

A link to itself is a file that nobody can read, not even root.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from remote.agent import environments, target_dir
from remote.agent.job_folders import every, read_status
from remote.agent.job_state import state_of
from remote.agent.jobs import prune, summaries
from remote.agent.jobs.submit import freezing
from remote.agent.replication.delta_request import delta
from remote.config import Project
from remote.errors import ConfigError, ProtocolError, TargetError
from remote.files import is_absent
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.old_jobs import PruneRequest, RemoveRequest, UnpulledRequest
from remote.job.messages.records import DeltaRequest
from remote.job.messages.target import PrepareRequest
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, RUNNING, UNKNOWN
from remote.session import project_id
from tests.agent.job_folder import IDS, KEY, add, gone


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target that was pushed to."""
    folder = tmp_path / "proj"
    folder.mkdir()
    target_dir.prepare(PrepareRequest(path=str(folder), key=KEY, project="a" * 32))
    return folder


def make_unreadable(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def test_what_is_missing_is_told_from_what_can_not_be_looked_at(tmp_path: Path) -> None:
    make_unreadable(tmp_path / "loop")
    (tmp_path / "file").touch()
    assert is_absent(tmp_path / "none") and is_absent(tmp_path / "file/below")
    assert not is_absent(tmp_path / "loop") and not is_absent(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        is_absent(tmp_path / "loop/below")


def test_a_job_whose_status_can_not_be_read_is_neither_lost_nor_hidden(root: Path) -> None:
    paths = add(root, IDS[0], age=9999)
    make_unreadable(paths.status)
    add(root, IDS[1], state=FINISHED, ended=1.0)
    first, second = summaries.describe(JobsRequest(key=KEY)).jobs
    assert (first.state, second.state) == (UNKNOWN, FINISHED)
    assert "status.json can't be read" in first.cause
    assert paths.status.is_symlink()


def test_a_launch_that_can_not_be_read_leaves_its_job_as_it_is(root: Path) -> None:
    paths = add(root, IDS[0], age=9999, state=RUNNING, worker=gone())
    make_unreadable(paths.launch)
    assert state_of(paths).state == RUNNING == read_status(paths).state


def test_a_job_folder_that_can_not_be_entered_is_listed_and_shared_with_by_none(root: Path) -> None:
    make_unreadable(JobPaths(root, IDS[1]).folder)
    assert [paths.id for paths in every(root)] == [IDS[1]]
    (root / "a.py").write_text("pass")
    new = add(root, IDS[0])
    with freezing(new, root):
        pass
    assert (new.code / "a.py").read_text() == "pass"


def test_environments_stay_while_a_job_can_not_be_read_that_may_use_one(root: Path) -> None:
    paths = add(root, IDS[0], state=RUNNING)
    paths.live.parent.mkdir()
    paths.live.touch()
    env = root / ".remote/envs/abc"
    env.mkdir(parents=True)
    (env / environments.COMPLETE).touch()
    os.utime(env / environments.COMPLETE, (1, 1))
    make_unreadable(paths.status)
    assert prune.prune(PruneRequest(key=KEY, older=60)).environments == ()
    shutil.rmtree(paths.folder)
    assert prune.prune(PruneRequest(key=KEY, older=60)).environments == ("abc",)


def test_a_job_whose_list_of_files_can_not_be_read_is_not_pruned(root: Path) -> None:
    paths = add(root, IDS[0], state=FINISHED, ended=1.0)
    make_unreadable(paths.unpulled)
    os.utime(paths.folder, (1, 1))
    answer = prune.prune(PruneRequest(key=KEY, older=60, pulled=(IDS[0],)))
    assert (answer.jobs, answer.unfetched) == ((), (IDS[0],))
    assert "can't be read" in delta(DeltaRequest(key=KEY, known={})).unpulled[IDS[0]]


@pytest.mark.parametrize("content", ["", '{"files": {"ckpt.pt": 1'])
def test_a_list_of_files_that_is_damaged_is_none_of_no_files(root: Path, content: str) -> None:
    paths = add(root, IDS[0], state=FINISHED, ended=1.0)
    paths.unpulled.write_text(content)
    os.utime(paths.folder, (1, 1))
    pulled = (IDS[0],)
    answer = prune.prune(PruneRequest(key=KEY, older=60, pulled=pulled))
    assert (answer.jobs, answer.unfetched) == ((), pulled)
    with pytest.raises(ProtocolError, match="unpulled.json is damaged"):
        prune.remove(RemoveRequest(key=KEY, jobs=pulled, pulled=pulled))
    with pytest.raises(ProtocolError, match="unpulled.json is damaged"):
        summaries.list_unpulled(UnpulledRequest(key=KEY, job=IDS[0], brought=("ckpt.pt",)))
    assert "is damaged" in delta(DeltaRequest(key=KEY, known={})).unpulled[IDS[0]]
    assert prune.remove(RemoveRequest(key=KEY, jobs=pulled, force=True)).removed == pulled


def test_what_a_job_wrote_is_not_nothing_where_what_was_asked_of_it_is_damaged(root: Path) -> None:
    paths = add(root, IDS[0], state=FINISHED, ended=1.0)
    paths.frozen.write_text("{}")
    paths.code.mkdir()
    (paths.code / "ckpt.pt").write_text("weights")
    paths.job.write_text("")
    os.utime(paths.folder, (1, 1))
    answer = prune.prune(PruneRequest(key=KEY, older=60, pulled=(IDS[0],)))
    assert (answer.jobs, answer.unfetched) == ((), (IDS[0],))


def test_a_target_whose_disk_is_not_mounted_is_not_told_as_new(root: Path) -> None:
    root.rename(root.with_name("unmounted"))
    with pytest.raises(TargetError, match="its disk isn't mounted"):
        target_dir.root_of(KEY)


@pytest.mark.parametrize("text", ["", "../..", "x" * 32])
def test_a_damaged_number_of_the_project_claims_nothing(tmp_path: Path, text: str) -> None:
    project = Project(tmp_path, {})
    assert len(project_id(project)) == 32
    (project.state / "id").write_text(text)
    with pytest.raises(ConfigError, match="is damaged"):
        project_id(project)
