"""Where a job goes among several targets, as what each says of its cards decides it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuHolder, GpuProcess, GpusAnswer, WaitingJob
from remote.job.spec import JobSpec
from remote.operations import placement, pool
from remote.operations.placement import Candidate, by_gpus, place
from remote.session import TargetSession
from remote.target import Target
from tests.lab import Lab

JOB = JobSpec(kind="command", source="", name="x", gpus=1)
BUSY = {"holder": GpuHolder(pid=1, user="ada", job="20260101-090000-x-aaaa")}


def card(index: int = 0, **fields: Any) -> Gpu:
    values = {"name": "NVIDIA A100", "memory_total": 40960, "memory_used": 3, "driver": "1"}
    return Gpu(index=index, uuid=f"GPU-{index}", **{**values, **fields})


def server(tmp_path: Path, tables: str = "", **settings: str) -> TargetSession:
    (tmp_path / "pyproject.toml").write_text(tables)
    return TargetSession.of(Project(tmp_path, settings), Target.parse("host:x"))


def seen(tmp_path: Path, job: JobSpec, *cards: Gpu, waiting: int = 0) -> Candidate | None:
    line = tuple(WaitingJob(gpus=1) for _ in range(waiting))
    return by_gpus(server(tmp_path), job, GpusAnswer(cards, line, 0.0))


@pytest.mark.parametrize(
    ("job", "cards", "free"),
    [
        (JOB, [card(), card(1)], 2),
        (JOB, [card(), card(1, **BUSY)], 1),
        (JOB.replace(gpus=None), [card(), card(1)], 2),
        (JOB.replace(gpus=2), [card(), card(1), card(2)], 1),
        (JOB.replace(gpus=2), [card(), card(1, **BUSY)], 0),
        (JOB.replace(gpus=3), [card(), card(1)], None),
        (JOB, [], None),
        (JOB, [card(fault="has fallen off the bus")], 0),
        (JOB, [card(processes=(GpuProcess(pid=7),))], 0),
        (JOB, [card(memory_used=9000)], 0),
        (JOB.replace(gpu_memory=20480), [card(memory_used=9000)], 1),
        (JOB.replace(gpu_memory=40000), [card(memory_used=9000)], 0),
        (JOB.replace(gpu_memory=81920), [card()], None),
        (JOB.replace(gpu_model="h100"), [card()], None),
        (JOB.replace(gpu_model="a100"), [card(), card(1, name="NVIDIA L4")], 1),
        (JOB.replace(gpu_exclude=("0",)), [card(), card(1)], 1),
        (JOB.replace(gpu_share=0.5), [card(), card(1, **BUSY)], 2),
        (
            JOB.replace(gpu_share=0.25),
            [card(holder=GpuHolder(share=0.5), sharers=(GpuHolder(share=0.5),))],
            2,
        ),
        (
            JOB.replace(gpu_share=0.5),
            [card(holder=GpuHolder(share=0.6), sharers=(GpuHolder(share=0.6),))],
            0,
        ),
    ],
)
def test_what_a_job_asks_for_decides_what_is_free(
    tmp_path: Path, job: JobSpec, cards: list[Gpu], free: int | None
) -> None:
    found = seen(tmp_path, job, *cards)
    assert (found and found.free) == free


def test_where_others_wait_nothing_is_free(tmp_path: Path) -> None:
    found = seen(tmp_path, JOB, card(), card(1), waiting=3)
    assert found and (found.free, found.ahead, found.capacity) == (0, 3, 2)
    other = GpusAnswer((card(), card(1)), (WaitingJob(gpus=1, cards=("GPU-1",)),), 0.0)
    only_first = JOB.replace(gpu_exclude=("1",))
    found = by_gpus(server(tmp_path), only_first, other)
    # Who waits for another card keeps nobody from this one.
    assert found and (found.free, found.ahead) == (1, 0)


@pytest.mark.parametrize(
    ("job", "free", "capacity"),
    [
        (JOB, 5, 8),
        (JOB.replace(gpus=None), 5, 8),
        # All of a job's cards are one machine's, or as many of each.
        (JOB.replace(gpus=3), 1, 2),
        (JOB.replace(gpus=2, nodes=2), 1, 2),
        (JOB.replace(gpus=5), None, None),
        (JOB.replace(gpu_model="H100"), None, None),
        (JOB.replace(sbatch=("-p", "gpu")), 5, 8),
        (JOB.replace(gpu_memory=1), None, None),
        (JOB.replace(gpu_exclude=("7",)), None, None),
        (JOB.replace(gpu_share=0.5), None, None),
    ],
)
def test_of_a_cluster_each_machine_counts_for_itself(
    tmp_path: Path, job: JobSpec, free: int | None, capacity: int | None
) -> None:
    held = {"holder": GpuHolder()}
    cards = [
        card(at, node=node, memory_total=None, **(held if at < used else {}))
        for node, used in (("n1", 0), ("n2", 3))
        for at in range(4)
    ]
    found = seen(tmp_path, job, *cards)
    assert (found and found.free, found and found.capacity) == (free, capacity)
    assert seen(tmp_path, JOB.replace(nodes=2), card()) is None


def test_many_jobs_are_spread_by_what_each_can_run_at_once(tmp_path: Path) -> None:
    small, large = server(tmp_path), server(tmp_path)
    candidates = [Candidate(small, 1, 1), Candidate(large, 3, 4, 0)]
    chosen = placement._spread(candidates, 14)
    assert [each is small for each in chosen[:4]].count(True) == 1
    # Beyond what is free, the lines grow alike.
    assert [each is small for each in chosen[4:]].count(True) == 2


@pytest.fixture
def project(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = lab.project(tmp_path / "project")
    for each in pool.sessions(made, "lab"):
        each.prepare()
    monkeypatch.setattr(pool, "LIMIT", 0.5)
    yield made
    for each in pool.sessions(made, "lab"):
        if each.ssh:
            each.ssh.close()


def test_a_job_goes_where_a_card_is_free(
    lab: Lab, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = pool.sessions(project, "all")
    lab.gpus["one"].card(0, memory_used=20000)
    lab.gpus["one"].card(1, memory_used=20000)
    try:
        [chosen] = place(servers, JOB)
        assert chosen.target.label == "two"
        assert "skipped: dead: It gave no answer within 0.5 s." in capsys.readouterr().err
        assert place(servers, JOB, 3)[:2] == [chosen, chosen]
    finally:
        lab.gpus["one"].card(0, memory_used=0)
        lab.gpus["one"].card(1, memory_used=0)


def test_where_nobody_can_run_it_each_one_is_told_with_its_reason(project: Project) -> None:
    with pytest.raises(JobError, match="None of these targets can run the job") as error:
        place(pool.sessions(project, "all"), JOB.replace(gpus=5))
    assert "one: It has 2 x" in error.value.hint and "dead: It gave no answer" in error.value.hint


def test_a_job_without_gpus_goes_where_the_fewest_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = {"one": 3, "two": 1}
    monkeypatch.setattr(placement, "_going", lambda server: going[server.target.label])
    chosen = place(pool.sessions(project, "lab"), JOB.replace(gpus=0), 4)
    assert [server.target.label for server in chosen] == ["two", "two", "one", "two"]
