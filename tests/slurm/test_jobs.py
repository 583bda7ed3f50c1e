"""Jobs under a real Slurm, from sbatch to the last word on each."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from remote.agent import launchers
from remote.agent.gpus.queue import describe
from remote.agent.job_state import state_of
from remote.agent.jobs import live, sweep
from remote.agent.launchers import slurm, squeue
from remote.errors import JobError
from remote.job.messages.gpus import GpusAnswer, GpusRequest
from remote.job.messages.jobs import AttachRequest, StopRequest, SubmitRequest
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec
from remote.job.status import FAILED, FINISHED, LOST, QUEUED, RUNNING, STOPPED, JobStatus
from tests.agent.job_folder import KEY
from tests.slurm.conftest import Target
from tests.waiting import until

#: What a job does until it is ended, and that it was asked to.
WAIT = 'trap "echo asked; exit 7" TERM; echo ready; while :; do sleep 0.1; done'


def ready(paths: JobPaths, times: int = 1) -> None:
    """Wait until the job's script has come so far, so often."""
    until(lambda: paths.log.exists() and paths.log.read_text().count("ready") >= times)


def stop(paths: JobPaths) -> JobStatus:
    return live.stop(StopRequest(key=KEY, jobs=(paths.id,))).stopped[0].status


@pytest.fixture(scope="module", autouse=True)
def limited(place: Target) -> JobPaths:
    """A job whose time is over: Slurm looks for such jobs every half minute."""
    with pytest.MonkeyPatch.context() as patch:
        place.enter(patch)
        paths = place.start(WAIT, timeout=3000, sbatch=("--nodelist=gpu2",))
        ready(paths)
        number = place.number(paths)
        assert squeue.details(number, "")["TimeLimit"] == "00:50:00"
        place.cluster.run("scontrol", "update", f"jobid={number}", "EndTime=now+1")
    return paths


def test_a_job_runs_on_the_node_and_the_gpus_that_slurm_gave_it(target: Target) -> None:
    paths = target.start('echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"; pwd', gpus=2)
    status = target.became(paths)
    log = paths.log.read_text()
    assert (status.state, status.exit_code) == (FINISHED, 0), log
    node, gpus = log.split()[:2]
    assert node in ("gpu1", "gpu2") and len(gpus.split(",")) == 2
    assert [str(gpu.index) for gpu in status.gpus] == gpus.split(",")
    assert str(paths.code) in log
    assert not paths.live.exists()


def test_its_cards_and_who_waits_for_them_are_told_of_the_partition(target: Target) -> None:
    def seen(*words: str) -> GpusAnswer:
        return describe(GpusRequest(key=KEY, launcher="slurm", sbatch=words))

    before = seen()
    assert [(gpu.node, gpu.index) for gpu in before.gpus] == [
        (node, index) for node in ("gpu1", "gpu2") for index in range(4)
    ]
    assert {gpu.name for gpu in before.gpus} == {"a100"} and not before.waiting
    # What others' tests have left running may hold some, and is over before long.
    holder = target.start(WAIT, gpus=3, sbatch=("--nodelist=gpu1",))
    ready(holder)
    held = until(seen, lambda found: sum(bool(gpu.holder) for gpu in found.gpus) == 3)
    assert [gpu.index for gpu in held.gpus if gpu.holder and gpu.node == "gpu1"] == [0, 1, 2]
    behind = target.start("true", gpus=2, sbatch=("--nodelist=gpu1",))
    [waiting] = until(seen, lambda found: found.waiting).waiting
    assert waiting.gpus == 2 and waiting.user
    stop(holder)
    assert target.became(behind).state == FINISHED
    target.cluster.run("scontrol", "update", "nodename=gpu2", "state=drain", "reason=test")
    try:
        faults = {gpu.node: gpu.fault for gpu in seen("-p", "urgent").gpus}
        assert not faults["gpu1"] and faults["gpu2"].startswith("its node is drain")
    finally:
        target.cluster.run("scontrol", "update", "nodename=gpu2", "state=resume")


def test_who_says_nothing_of_gpus_has_one_and_who_wants_none_sees_none(target: Target) -> None:
    usual = target.start('echo "sees $CUDA_VISIBLE_DEVICES."', gpus=None)
    none = target.start('echo "sees $CUDA_VISIBLE_DEVICES."', gpus=0)
    assert target.became(usual).state == target.became(none).state == FINISHED
    assert usual.log.read_text().split()[1].rstrip(".").isdigit()
    assert "sees ." in none.log.read_text()


def test_a_job_that_fails_is_told_as_elsewhere(target: Target) -> None:
    status = target.became(target.start("exit 3"))
    assert (status.state, status.exit_code, status.reason) == (FAILED, 3, "error")


def test_a_stop_lets_the_worker_end_its_job_in_order(target: Target) -> None:
    paths = target.start(WAIT)
    ready(paths)
    status = stop(paths)
    assert (status.state, status.exit_code, status.cause) == (STOPPED, 143, "stopped")
    assert "asked" in paths.log.read_text()
    assert live.stop(StopRequest(key=KEY, jobs=(paths.id,))).stopped[0].already


def test_a_job_that_waits_says_why_and_can_be_stopped(target: Target) -> None:
    paths = target.start("true", sbatch=("--hold",))
    status = state_of(paths)
    number = target.number(paths)
    assert status.state == QUEUED and status.waiting.startswith(f"waiting in Slurm (job {number})")
    assert "JobHeldUser" in status.waiting and "in partition gpu" in status.waiting
    with pytest.raises(JobError, match="does not run yet"):
        live.attach(AttachRequest(key=KEY, job=paths.id))
    assert stop(paths).state == STOPPED
    assert state_of(paths).state == STOPPED


def test_a_job_that_follows_another_is_started_by_slurm_when_that_has_finished(
    target: Target,
) -> None:
    first = target.start("until test -e ../../../../one; do sleep 0.1; done")
    second = target.start("true", after=first.id)
    assert "Dependency" in state_of(second).waiting
    (target.root / "one").touch()
    assert target.became(second).state == target.became(first).state == FINISHED


def test_a_job_whose_predecessor_fails_is_lost_by_that_reason(target: Target) -> None:
    first = target.start("until test -e ../../../../two; do sleep 0.1; done; exit 1")
    second = target.start("true", after=first.id)
    (target.root / "two").touch()
    status = target.became(second)
    assert (status.state, target.became(first).state) == (LOST, FAILED)
    assert "was to follow has not finished" in status.cause


def test_a_job_that_others_cancel_says_that(target: Target) -> None:
    paths = target.start(WAIT)
    ready(paths)
    target.cluster.run("scancel", target.number(paths))
    status = target.became(paths)
    assert (status.state, status.cause) == (FAILED, "it was cancelled (scancel)")


def test_a_worker_that_is_killed_leaves_a_lost_job(target: Target) -> None:
    paths = target.start(WAIT)
    ready(paths)
    target.cluster.run("scancel", "--batch", "--signal=KILL", target.number(paths))
    status = target.became(paths)
    assert status.state == LOST and status.cause.startswith("it was cancelled (scancel)")


def taken_down(target: Target, paths: JobPaths) -> None:
    node = squeue.details(target.number(paths), "")["BatchHost"]
    target.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


def test_a_node_that_is_taken_down_ends_the_job_by_that_reason(target: Target) -> None:
    paths = target.start(WAIT, sbatch=("--no-requeue", "--nodelist=gpu1"))
    ready(paths)
    try:
        taken_down(target, paths)
        status = target.became(paths)
    finally:
        target.cluster.mend()
    assert status.state in (FAILED, LOST)
    assert "its node failed, or was taken down" in status.cause


def test_a_job_that_slurm_starts_again_is_the_same_job_once_more(target: Target) -> None:
    paths = target.start(WAIT, sbatch=("--requeue",))
    ready(paths)
    first = state_of(paths)
    target.cluster.run("scontrol", "requeue", target.number(paths))
    ready(paths, times=2)
    status = target.became(paths, RUNNING)
    assert (first.attempt, status.attempt) == (1, 2) and status.mlflow_run != first.mlflow_run
    log = paths.log.read_text()
    assert "Slurm was told to start it again; Slurm starts it again" in log
    assert "[remote] Slurm starts this job again, on " in log
    assert paths.live.exists()
    assert stop(paths).state == STOPPED
    # What was written of its first life doesn't tell how the second has ended.
    launched = launchers.read(paths, None)
    assert launched and "start it again" not in slurm.why_ended(launched.handle)


def test_a_job_that_is_preempted_waits_in_the_queue_again(target: Target) -> None:
    low = target.start(WAIT, gpus=4, sbatch=("--nodelist=gpu2",))
    ready(low)
    high = target.start("true", gpus=4, sbatch=("-p", "urgent", "--nodelist=gpu2"))
    assert target.became(high).state == FINISHED
    status = target.became(low, QUEUED, RUNNING)
    assert "Slurm preempted it; Slurm starts it again" in low.log.read_text()
    assert stop(low).state == STOPPED and status.state in (QUEUED, RUNNING)


def test_a_shell_beside_the_worker_sees_what_it_has(target: Target) -> None:
    paths = target.start(WAIT, gpus=1)
    ready(paths)
    argv = live.attach(AttachRequest(key=KEY, job=paths.id)).argv
    assert argv[0] == "srun" and "--overlap" in argv
    words = [*argv[: argv.index("--pty")], "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip().isdigit(), said.stderr
    stop(paths)


def test_a_job_on_two_nodes_has_one_worker_and_what_the_others_need(target: Target) -> None:
    script = (
        'echo "$MASTER_ADDR:$MASTER_PORT $REMOTE_JOB_NODES";'
        ' srun sh -c "echo rank \\$SLURM_PROCID of \\$SLURM_NTASKS: \\$CUDA_VISIBLE_DEVICES"'
    )
    paths = target.start(script, nodes=2, gpus=2)
    status, log = target.became(paths), paths.log.read_text()
    assert status.state == FINISHED, log
    assert "gpu1,gpu2" in log
    ranks = sorted(line for line in log.splitlines() if line.startswith("rank"))
    assert [line[:11] for line in ranks] == ["rank 0 of 2", "rank 1 of 2"]
    assert all(len(line.rpartition(" ")[2].split(",")) == 2 for line in ranks)


def test_what_slurm_does_not_take_is_told_in_its_words_and_leaves_nothing(target: Target) -> None:
    before = [*(target.root / ".remote/jobs").iterdir()]
    with pytest.raises(JobError, match="Slurm did not take the job: .*nvalid partition"):
        target.start("true", sbatch=("--partition=nowhere",))
    assert [*(target.root / ".remote/jobs").iterdir()] == before
    with pytest.raises(JobError, match="suits no kind of GPU in Slurm"):
        target.start("true", gpus=1, gpu_model="h100")
    with pytest.raises(JobError, match="not by what --gpus-memory says"):
        target.start("true", gpus=1, gpu_memory=1024)


def test_a_kind_of_gpu_is_asked_for_as_the_site_calls_it(target: Target) -> None:
    paths = target.start("true", gpus=1, gpu_model="A100", sbatch=("--hold",))
    assert squeue.details(target.number(paths), "")["TresPerNode"] == "gres:gpu:a100:1"
    stop(paths)


def test_nothing_is_known_of_a_job_as_long_as_slurm_does_not_answer(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = target.start("true", sbatch=("--hold",))
    with monkeypatch.context() as patch:
        patch.setattr(squeue, "answer", lambda argv, limit: None)
        squeue.forget()
        launched = launchers.read(paths, None)
        assert launched is not None and launched.alive() is None
        assert state_of(paths).state == QUEUED
    squeue.forget()
    assert stop(paths).state == STOPPED
    assert launched.row.alive({**launched.handle, "job": "999999"}) is False
    # Of other people's jobs a site may tell nothing.
    assert launched.row.alive({**launched.handle, "job": "999999", "user": "nobody"}) is None


def test_slurm_is_asked_for_all_jobs_at_once_and_seldom(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [target.start("true", sbatch=("--hold",)) for _ in range(3)]
    asked = []

    def answer(argv: list[str], **limit: float) -> str:
        asked.append(argv)
        return subprocess.check_output(argv, text=True)

    monkeypatch.setattr(squeue, "answer", answer)
    squeue.forget()
    monkeypatch.setattr(squeue, "_first", [time.monotonic() - 3600])
    for _ in range(5):
        for paths in several:
            launched = launchers.read(paths, None)
            assert launched and launched.alive() is True
    assert len(asked) == 1
    for paths in several:
        stop(paths)


def test_a_sweep_is_one_job_and_an_array(target: Target, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f'echo "is $0"; until test -e "{gate}"; do sleep 0.1; done; test "$0" != 2'
    specs = [
        JobSpec(
            kind="command",
            source="",
            name="sweep",
            record=False,
            gpus=0,
            arguments=("sh", "-c", script, str(number)),
            sweep="20260101-000000-sweep-abcd",
        )
        for number in range(4)
    ]
    request = SubmitRequest(
        key=KEY, job=specs[0], more=tuple(specs[1:]), launcher="slurm", request="ab" * 16
    )
    answer = sweep.submit(request)
    jobs = [JobPaths(target.root, name) for name in answer.ids]
    numbers = [target.number(paths) for paths in jobs]
    assert answer.problem == "" and len(jobs) == 4
    assert len({number.partition("_")[0] for number in numbers}) == 2
    assert [number.partition("_")[2] for number in numbers] == ["", "0", "1", "2"]
    # Asked again, it starts nothing.
    assert sweep.submit(request).ids == answer.ids
    for at, paths in enumerate(jobs):
        until(lambda paths=paths, at=at: paths.log.exists() and f"is {at}" in paths.log.read_text())
    assert stop(jobs[3]).state == STOPPED
    gate.touch()
    assert [target.became(paths).state for paths in jobs] == [FINISHED, FINISHED, FAILED, STOPPED]


def test_where_slurms_time_is_over_the_worker_ends_its_job_and_says_so(
    target: Target, limited: JobPaths
) -> None:
    status = target.became(limited)
    assert (status.state, status.exit_code, status.reason) == (FAILED, 124, "timeout")
    assert status.cause == "Slurm's time limit was over"
