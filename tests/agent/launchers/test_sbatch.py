"""What a job becomes for sbatch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote.agent.launchers import sbatch
from remote.errors import JobError
from remote.job.spec import JobSpec

ROOT, OUTPUT = Path("/work/a b"), sbatch.escaped(Path("/work/a b/50%/scheduler.out"))


def words(*, gpu: str = "gpu", after: str = "", **asked: Any) -> list[str]:
    """All but what every job has."""
    job = JobSpec(kind="command", source="", name="x", **asked)
    made = sbatch.words(job, "job-1", root=ROOT, output=OUTPUT, gpu=gpu, after=after)
    assert made[0] == "sbatch" and made[-7:] == [
        "--job-name=job-1",
        "--output=/work/a b/50%%/scheduler.out",
        "--error=/work/a b/50%%/scheduler.out",
        "--open-mode=append",
        "--input=/dev/null",
        "--chdir=/work/a b",
        "--parsable",
    ]
    return made[1:-7]


def test_gpus_time_nodes_and_cpus_become_slurms() -> None:
    assert words(gpu="") == []
    assert words() == ["--gres=gpu:1"]
    assert words(gpus=4, nodes=2) == ["--gres=gpu:4", "--nodes=2", "--ntasks-per-node=1"]
    assert words(gpu="gpu:a100", gpus=2) == ["--gres=gpu:a100:2"]
    assert words(gpu="", cpus=8) == ["--cpus-per-task=8"]
    assert words(gpu="", after="7") == ["--dependency=afterok:7", "--kill-on-invalid-dep=yes"]


@pytest.mark.parametrize(
    "timeout, retries, minutes", [(1, 0, 1), (60, 0, 1), (61, 0, 2), (3600, 2, 180)]
)
def test_the_time_limit_is_that_of_all_attempts_in_minutes(
    timeout: int, retries: int, minutes: int
) -> None:
    assert words(gpu="", timeout=timeout, retries=retries) == [f"--time={minutes}"]


@pytest.mark.parametrize(
    "own",
    [
        ("--gres=gpu:v100:2", "-t", "10", "-N2", "-c", "4"),
        ("-G", "2", "--time=10", "--nodes", "3", "--cpus-per-task=4"),
        ("--gpus-per-node=2", "-t10", "-N", "3", "-c4"),
    ],
)
def test_what_the_users_words_ask_for_is_not_asked_for_again(own: tuple[str, ...]) -> None:
    assert words(gpus=1, timeout=60, nodes=2, cpus=1, sbatch=own) == list(own)


def test_what_an_option_says_is_found_in_each_of_its_forms() -> None:
    for given in (
        ["-p", "a"],
        ["-pa"],
        ["--partition=a"],
        ["--partition", "a"],
        ["-p", "b", "-pa"],
    ):
        assert sbatch.value(given, "--partition", "-p") == "a"
    assert sbatch.value(["--priority=1", "p"], "--partition", "-p") == ""


def test_the_script_becomes_the_worker_and_takes_hostile_words_as_they_are(tmp_path: Path) -> None:
    word = "it's a $(touch owned) `x` \"; 日本"
    out = tmp_path / "out"
    script = sbatch.script(["sh", "-c", 'echo "$$ $REMOTE_LAUNCHER $1" >"$2"', "x", word, str(out)])
    with subprocess.Popen(["sh", "-c", script], cwd=tmp_path) as started:
        pass
    assert out.read_text() == f"{started.pid} slurm {word}\n"


def test_a_task_of_an_array_becomes_the_worker_of_its_job(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = sbatch.array_script(["sh", "-c", f'echo "$1" >>{out}', "x"], ["job-a", "job-b"])
    for number in "10":
        env = {**os.environ, "SLURM_ARRAY_TASK_ID": number}
        subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, check=True)
    assert out.read_text() == "job-b\njob-a\n"
    job = JobSpec(kind="command", source="", name="x", gpus=0)
    made = sbatch.words(job, "sweep", root=ROOT, output="o/%a", gpu="", after="", count=3)
    assert "--array=0-2" in made and "--output=o/%a" in made


def test_the_number_is_found_behind_what_a_site_prints() -> None:
    assert sbatch.accepted("welcome\n42\n") == ["42", ""]
    assert sbatch.accepted("42;east\n") == ["42", "east"]
    with pytest.raises(JobError, match="printed no job number"):
        sbatch.accepted("Submitted batch job 42\n")
