"""Which environments a target needs no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.jobs.prune import prune
from remote.job.messages.old_jobs import PruneRequest
from tests.agent.job_folder import KEY


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
