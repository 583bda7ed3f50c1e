"""What makes two sweeps the same, and their code."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote.job.spec import Job as JobFile
from remote.job.spec import JobSpec
from remote.runtime import sweep_key
from remote.runtime.job_context import Job

SETTINGS: dict[str, Any] = {
    "lr": 0.1,
    "hydra": {
        "sweeper": {
            "_target_": "OptunaSweeper",
            "sampler": {"seed": 1},
            "direction": "minimize",
            "n_trials": 20,
            "n_jobs": 1,
            "storage": None,
            "study_name": None,
            "params": {"x": "range(3)"},
        },
        "overrides": {"task": ["y=1,2"]},
        "job": {"env_set": {}, "chdir": None, "num": 0},
    },
}


def job_in(root: Path, name: str = "20260101-090000-train-aaaa", **more: Any) -> Job:
    folder = root / name
    (folder / "code").mkdir(parents=True)
    (folder / "code/train.py").write_text("1")
    spec = JobSpec(kind="script", source="train.py", name="train", **more)
    JobFile(id=name, **vars(spec)).to_file(folder / "job.json")
    return Job(folder=folder, code=folder / "code", spec=spec, recording=None)


def settings(path: str = "", value: Any = None) -> dict[str, Any]:
    changed = copy.deepcopy(SETTINGS)
    *above, last = path.split(".")
    place = changed
    for key in above:
        place = place[key]
    if last:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("hydra.sweeper.params.x", "range(4)", ["search space"]),
        ("hydra.overrides.task", ["y=1,3"], ["search space"]),
        ("hydra.sweeper.sampler.seed", 2, ["sampler"]),
        ("hydra.sweeper.direction", "maximize", ["sampler"]),
        ("lr", 0.2, ["configuration"]),
        ("hydra.job.env_set", {"LR": "1"}, ["configuration"]),
        ("hydra.sweeper.n_trials", 40, []),
        ("hydra.sweeper.n_jobs", 4, []),
        ("hydra.sweeper.storage", "sqlite:///logs/my.db", []),
        ("hydra.launcher", "joblib", []),
        ("hydra.job.num", 3, []),
    ],
)
def test_the_part_that_changed(path: str, value: Any, changed: list[str], tmp_path: Path) -> None:
    job = job_in(tmp_path)
    before, after = (sweep_key.parts_of(job, it) for it in (settings(), settings(path, value)))
    assert [part for part in before if before[part] != after[part]] == changed


def test_two_jobs_of_the_same_have_the_same_name(tmp_path: Path) -> None:
    jobs = [job_in(tmp_path, "20260101-090000-train-aaaa"), job_in(tmp_path, "20260101-090001-b")]
    # A configuration may hold the path of the job's own code.
    parts = [sweep_key.parts_of(job, settings("out", f"{job.code}/out")) for job in jobs]
    assert parts[0] == parts[1]
    name = sweep_key.name_of(jobs[0], parts[0])
    assert name.startswith("train-") and len(name) == len("train-") + 8
    assert sweep_key.name_of(jobs[0], parts[0], "mine") == name.replace("train", "mine")
    other = job_in(tmp_path, "c", env={"LR": "0.1"})
    assert sweep_key.parts_of(other, settings())["environment"] != parts[0]["environment"]


def test_what_jobs_write_is_no_code(tmp_path: Path) -> None:
    first = job_in(tmp_path, "a")
    digest = sweep_key.code_digest(first.folder, first.code)
    (first.code / "out.txt").write_text("written by its program")
    # Another attempt, and the same snapshot once more.
    assert sweep_key.code_digest(first.folder, first.code) == digest
    for name, before in ("b", "a"), ("bb", "b"):
        again = job_in(tmp_path, name, again=before)
        (again.code / "out.txt").write_text("written by its program")
        assert sweep_key.code_digest(again.folder, again.code) == digest
    other = job_in(tmp_path, "c")
    for name in ("logs/x", "mlflow.db", "__pycache__/train.pyc", ".venv/bin/python"):
        (other.code / name).parent.mkdir(parents=True, exist_ok=True)
        (other.code / name).write_text("no code")
    assert sweep_key.code_digest(other.folder, other.code) == digest
    changed = job_in(tmp_path, "d")
    (changed.code / "train.py").rename(changed.code / "eval.py")
    assert sweep_key.code_digest(changed.folder, changed.code) != digest


def test_in_the_project_itself_code_is_what_git_does_not_ignore(tmp_path: Path) -> None:
    def digest(ignored: str, name: str = "train.py") -> str:
        job = job_in(tmp_path, f"job-{ignored}-{len(name)}")
        subprocess.run(["git", "init", "-q", str(job.code)], check=True)
        (job.code / ".gitignore").write_text("out\n")
        (job.code / "out").write_text(ignored)
        (job.code / name).write_text("1")
        return sweep_key.code_digest(job.folder, job.code)

    assert digest("a") == digest("b") != digest("a", "new.py")
