"""Which of several targets a job goes to: where its GPUs are free now, else where it would start first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from remote.agent.gpus.fitness import equipment, obstacle, suits
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpusAnswer, GpusRequest
from remote.job.messages.jobs import JobsRequest
from remote.job.spec import JobSpec
from remote.job.status import ENDED
from remote.operations.jobs.submit import with_settings
from remote.operations.pool import Reply, ask_all
from remote.output import plural, say
from remote.session import TargetSession


@dataclass
class Candidate:
    """A target that can run the job: how many of it could begin there now, how many of it run there at
    once where nothing else does, and how many jobs are before the next one."""

    server: TargetSession
    free: int
    capacity: int
    ahead: float = 0.0

    @property
    def wait(self) -> tuple[bool, float, float]:
        """What is compared: whether it has to wait, how long the line is, how full the machine."""
        return self.free == 0, self.ahead / self.capacity, -self.free / self.capacity

    def add(self) -> None:
        """Count one more job that goes there."""
        if self.free:
            self.free -= 1
        else:
            self.ahead += 1


def place(servers: Sequence[TargetSession], job: JobSpec, count: int = 1) -> list[TargetSession]:
    """Where each of `count` such jobs goes; raises JobError where none of the targets can run it.

    Only what a job asks for decides who is asked: one without GPUs goes where the fewest go on.
    """
    wanted = {server.key: with_settings(job, server.settings) for server in servers}
    on_gpus = [server for server in servers if wanted[server.key].gpus != 0]
    replies = ask_all(on_gpus, lambda server: gpus_of(server, wanted[server.key].sbatch))
    candidates, reasons = [], [f"{_name(reply)}: {reply.words}" for reply in replies if reply.error]
    for reply in replies:
        if reply.answer:
            asked = wanted[reply.server.key]
            found = by_gpus(reply.server, asked, reply.answer)
            candidates += [found] if found else []
            why = _mismatch(asked, reply.answer) or equipment(reply.answer.gpus)
            reasons += [] if found else [f"{_name(reply)}: {why}"]
    if not candidates and job.gpus in (None, 0):
        without = ask_all([server for server in servers if server not in _silent(replies)], _going)
        candidates = [
            Candidate(each.server, 0, 1, each.answer) for each in without if each.answer is not None
        ]
        reasons += [f"{_name(each)}: {each.words}" for each in without if each.error]
    if not candidates:
        raise JobError("None of these targets can run the job.", "\n".join(reasons))
    say(*(f"skipped: {reason}" for reason in reasons))
    return _spread(candidates, count)


def placed(servers: Sequence[TargetSession], jobs: Sequence[JobSpec]) -> Sequence[TargetSession]:
    """Where each of these jobs, which ask for the same, goes: with one target, there."""
    return place(servers, jobs[0], len(jobs)) if len(servers) > 1 else [*servers] * len(jobs)


def by_gpus(server: TargetSession, job: JobSpec, answer: GpusAnswer) -> Candidate | None:
    """What a server's cards mean for such jobs; None where it never has what they ask for."""
    cards = [gpu for gpu in answer.gpus if suits(job, gpu)]
    needed = 1 if job.gpus is None else job.gpus
    machines = [[*of] for _, of in groupby(cards, key=lambda gpu: gpu.node)]
    capacity = sum(len(own) // needed for own in machines) // max(1, job.nodes)
    if job.gpu_share < 1:
        capacity, free = len(cards) * int(1 / job.gpu_share), sum(_parts(gpu, job) for gpu in cards)
    else:
        free = sum(len(_leasable(own, job)) // needed for own in machines) // max(1, job.nodes)
    if not capacity or _mismatch(job, answer):
        return None
    # Nobody overtakes: where one waits for such cards, a new one waits behind it.
    own = {gpu.uuid for gpu in cards}
    waiting = [each for each in answer.waiting if not each.cards or own & set(each.cards)]
    ahead = sum(each.gpus * each.share for each in waiting) / (needed * job.gpu_share)
    return Candidate(server, 0 if waiting else free, capacity, ahead)


def _leasable(gpus: Sequence[Gpu], job: JobSpec) -> list[Gpu]:
    return [gpu for gpu in gpus if not gpu.holder and not obstacle(gpu, job.gpu_memory)]


def _parts(gpu: Gpu, job: JobSpec) -> int:
    """How many parts of a card are free."""
    taken = sum(each.share for each in gpu.sharers) if gpu.sharers else float(bool(gpu.holder))
    if not gpu.holder and obstacle(gpu, 0):
        return 0
    # What is left of thirds and the like isn't exactly one.
    return int((1 - taken) / job.gpu_share + 1e-6)


def _spread(candidates: Sequence[Candidate], count: int) -> list[TargetSession]:
    chosen = []
    for _ in range(count):
        best = min(candidates, key=lambda each: each.wait)
        best.add()
        chosen.append(best.server)
    return chosen


def _mismatch(job: JobSpec, answer: GpusAnswer) -> str:
    """Why such jobs can't be asked of those who give out these cards; empty where they can."""
    is_cluster = any(gpu.node for gpu in answer.gpus)
    if is_cluster and (job.gpu_memory or job.gpu_exclude or job.gpu_share < 1):
        return "Slurm gives whole cards, by their kind alone."
    needs_cluster = job.sbatch or job.nodes > 1
    return "No Slurm runs its jobs." if needs_cluster and not is_cluster else ""


def gpus_of(server: TargetSession, sbatch: Sequence[str] | None = None) -> GpusAnswer:
    """What a server tells of its cards, or of those of the partition that words for sbatch name (by
    itself: what its settings have)."""
    return server.agent.call(gpus_request(server, sbatch))


def gpus_request(server: TargetSession, sbatch: Sequence[str] | None = None) -> GpusRequest:
    """As its settings have it."""
    return GpusRequest(
        key=server.key,
        leases=server.project.settings.get("REMOTE_LEASES", ""),
        launcher=server.settings.launcher,
        sbatch=tuple(server.settings.words_for_sbatch if sbatch is None else sbatch),
    )


def _going(server: TargetSession) -> int:
    """How many jobs go on there."""
    if not server.facts.ours:
        return 0
    jobs = server.agent.call(JobsRequest(key=server.key, newest=1)).jobs
    return sum(job.state not in ENDED for job in jobs)


def _silent(replies: Sequence[Reply[GpusAnswer]]) -> list[TargetSession]:
    return [reply.server for reply in replies if reply.error]


def _name(reply: Reply[Any]) -> str:
    return reply.server.target.label


def place_one(servers: Sequence[TargetSession], job: JobSpec) -> TargetSession:
    """The target of one job; says which it is."""
    [server] = place(servers, job)
    say(f"of {plural(len(servers), 'target')}, it goes to {server.target.label}")
    return server
