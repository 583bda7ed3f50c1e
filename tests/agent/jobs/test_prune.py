"""Which environments a target needs no more."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.jobs.prune import GONE, prune
from remote.job.messages.old_jobs import PruneRequest
from remote.job.paths import STATE
from remote.job.status import FINISHED
from tests.agent.job_folder import KEY, add


@pytest.mark.parametrize("python", ["", ">=3.10"])
def test_the_environment_of_what_was_pushed_stays(root: Path, python: str) -> None:
    (root / "requirements.lock").touch()
    for version in ("", ">=3.10"):
        made = environments.of(root, root, version).folder / ".complete"
        made.parent.mkdir(parents=True)
        made.touch()
        os.utime(made, (1, 1))
    pushed = environments.of(root, root, python)
    answer = prune(PruneRequest(key=KEY, older=60, python=python))
    assert len(answer.environments) == 1 and pushed.name not in answer.environments
    assert pushed.is_ready()


@pytest.mark.parametrize(
    ("stamp", "ended", "now", "goes"),
    [
        (-9000, -8000, 0, True),
        # The server's clock was set forward by a day: minutes ago is a day ago.
        (-86500, -86460, -86400, False),
        # The laptop's was.
        (-600, -60, 86400, False),
        # The server's was behind while the job ran: its id says when it was submitted.
        (-600, -9999999, 0, False),
    ],
)
def test_a_job_goes_when_it_is_old_by_any_clock(
    root: Path, stamp: float, ended: float, now: float, goes: bool
) -> None:
    start = time.time()
    name = time.strftime("%Y%m%d-%H%M%S-train-aaaa", time.localtime(start + stamp))
    paths = add(root, name, state=FINISHED, ended=start + ended)
    os.utime(paths.folder, (start + ended,) * 2)
    request = PruneRequest(key=KEY, older=3600, now=start + now, pulled=(name,))
    assert prune(request).jobs == ((name,) if goes else ())
    assert paths.folder.is_dir() is not goes


def test_what_a_prune_that_was_killed_had_begun_to_remove_goes_with_the_next(root: Path) -> None:
    gone = root / STATE / "jobs" / f"{GONE}20260101-090000-train-aaaa"
    (gone / "code/read only").mkdir(parents=True)
    (gone / "code/read only/a.py").write_text("a")
    (gone / "code/read only").chmod(0o500)
    (gone.parent / "20260101-090000-train-aaaa.lock").touch()
    assert prune(PruneRequest(key=KEY, older=60, dry_run=True)).bytes == 0 and gone.is_dir()
    assert prune(PruneRequest(key=KEY, older=60)).bytes > 0
    assert list(gone.parent.iterdir()) == []
