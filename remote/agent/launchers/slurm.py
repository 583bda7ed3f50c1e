"""Slurm keeps the worker alive, on a node of its own choice: sbatch starts it, squeue tells of it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

from remote.agent.launchers import sbatch, squeue
from remote.agent.processes import answer, user_name, which
from remote.errors import JobError
from remote.files import read_json
from remote.job.paths import STATE, JobPaths, jobs_folder

if TYPE_CHECKING:
    from remote.agent.launchers import Handle
    from remote.job.spec import Job

PROGRAMS: Tuple[str, ...] = ("sbatch", "squeue", "scancel")
START_LIMIT: Optional[float] = None
ELSEWHERE = True
START_HINT = "See on the server: squeue --me"

#: Where sites, packages and Slurm itself (without files of its own) put what names the cluster.
CONFIGURATIONS = ("/etc/slurm", "/etc/slurm-llnl", "/run/slurm/conf")

#: Bytes of the end of what Slurm wrote about a job that are read.
TAIL = 1 << 16

#: srun's words for one process on the first of a job's nodes, where its worker runs.
FIRST_NODE = ("--nodes=1", "--ntasks=1", "--relative=0", "--quiet")

#: What a worker writes there when it begins, before the name of its node.
BEGINS = "[remote] begins on "

#: What Slurm writes into a job's output when it ends it (slurmstepd), or the state that it leaves
#: the job in; what that means, and in one word for scripts.
CAUSES = (
    (r"DUE TO TIME LIMIT|\bTIMEOUT\b", "Slurm's time limit was over", "timeout"),
    (r"DUE TO PREEMPTION|\bPREEMPTED\b", "Slurm preempted it", "preempted"),
    (r"DUE TO NODE FAILURE|\bNODE_FAIL\b", "its node failed, or was taken down", "node"),
    (r"DUE TO JOB REQUEUE|\bREQUEUED\b", "Slurm was told to start it again", "requeued"),
    (r"oom.kill|OUT_OF_MEMORY", "out of memory: it took more than Slurm gave it", "oom"),
    (r"DependencyNeverSatisfied", "the job that it was to follow has not finished", "dependency"),
    (r"\bDEADLINE\b", "its deadline had passed", "deadline"),
    (r"\bBOOT_FAIL\b", "its node did not start", "node"),
    (r"\*\*\* JOB \S+ ON .* CANCELLED|\bCANCELLED\b", "it was cancelled (scancel)", "cancelled"),
)


def is_used() -> bool:
    """Whether this machine's jobs are Slurm's: it has sbatch, and is told of a cluster.

    Nothing is run for it: where no cluster can be found, Slurm's programs look for one for long.
    """
    program = which("sbatch")
    if not program:
        return False
    prefix = Path(os.path.realpath(program)).parents[1]
    files = [Path(place) / "slurm.conf" for place in (*CONFIGURATIONS, prefix / "etc")]
    return "SLURM_CONF" in os.environ or any(file.is_file() for file in files)


def start(job: Job, argv: Sequence[str], setting: str) -> Dict[str, Any]:
    """Submit the worker; raises JobError with Slurm's words."""
    paths = JobPaths(Path(job.root), job.id)
    number, cluster = _submit(job, job.id, sbatch.escaped(paths.scheduler), sbatch.script(argv))
    return _handle(number, cluster, paths)


def start_all(jobs: Sequence[Job], argvs: Sequence[Sequence[str]]) -> List[Dict[str, Any]]:
    """Submit the workers of jobs that ask for the same as one array; raises JobError.

    Each argv is the first one's but for its last word, which is the job's id.
    """
    first, root = jobs[0], Path(jobs[0].root)
    # Slurm names a task's output by its number alone.
    outputs = root / STATE / "arrays" / first.id
    outputs.mkdir(parents=True)
    paths = [JobPaths(root, job.id) for job in jobs]
    for at, each in enumerate(paths):
        os.symlink(str(each.scheduler), str(outputs / str(at)))
    script = sbatch.array_script(argvs[0][:-1], [job.id for job in jobs])
    output = f"{sbatch.escaped(outputs)}/%a"
    number, cluster = _submit(first, first.sweep or first.id, output, script, count=len(jobs))
    return [_handle(f"{number}_{at}", cluster, each) for at, each in enumerate(paths)]


def _submit(job: Job, name: str, output: str, script: str, count: int = 0) -> Sequence[str]:
    """Have sbatch take a job, or an array of so many; its number and its cluster."""
    _refuse(job)
    root = Path(job.root)
    after = _predecessors(root, job.after)
    words = sbatch.words(
        job, name, root=root, output=output, gpu=_gpu(job), after=after, count=count
    )
    code, said, complaint = squeue.run(words, script)
    squeue.forget()
    if code:
        raise JobError(
            f"Slurm did not take the job: {complaint or said.strip() or code}"[:2000],
            "Partition, account and what else it needs: sbatch = [...] in pyproject.toml, --sbatch",
        )
    return sbatch.accepted(said)


def start_of(paths: JobPaths) -> Dict[str, Any]:
    """What this process, which is a job's worker, is known by: should whoever started it have died
    before that was written down."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return _handle(f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"], "", paths)


def _handle(number: str, cluster: str, paths: JobPaths) -> Dict[str, Any]:
    user, output = user_name(os.getuid()), str(paths.scheduler)
    return {"job": number, "cluster": cluster, "user": user, "output": output}


def _refuse(job: Job) -> None:
    """Raise JobError for what Slurm can't be asked for."""
    if job.gpu_memory or job.gpu_exclude:
        flag = "--gpus-memory" if job.gpu_memory else "--gpus-exclude"
        raise JobError(
            f"Slurm chooses GPUs by their kind, and not by what {flag} says.",
            "Ask for a kind, as the site calls it: --gpus-model a100, or --sbatch=--gres=…",
        )
    if job.gpu_share < 1:
        raise JobError("Slurm gives whole GPUs.", "Such as: --gpus 1")


def _gpu(job: Job) -> str:
    """What a GPU is called in a request for some: `gpu`, or its kind too; empty where the job is to
    have none, as in a partition without any. Raises JobError for a kind that isn't there."""
    if job.gpus == 0:
        return ""
    if not job.gpu_model:
        return "gpu" if job.gpus or _gpu_kinds(job.sbatch) else ""
    kinds = {kind.partition(":")[2] for kind in _gpu_kinds(job.sbatch)}
    suiting = sorted(kind for kind in kinds if job.gpu_model.casefold() in kind.casefold())
    if len(suiting) != 1:
        there = ", ".join(sorted(filter(None, kinds))) or "none that it names"
        raise JobError(
            f"--gpus-model {job.gpu_model} suits {', '.join(suiting) or 'no kind of GPU'} in Slurm.",
            f"There is {there}.",
        )
    return f"gpu:{suiting[0]}"


def _gpu_kinds(words: Sequence[str]) -> Set[str]:
    """The kinds of GPUs of the partition that the words name, or of the usual one: `gpu:a100`."""
    partition = sbatch.value(words, "--partition", "-p")
    where = ["-p", partition] if partition else []
    argv = [*squeue.command("sinfo", sbatch.value(words, "--clusters", "-M")), "-h", *where]
    lines = (answer([*argv, "-o", "%P %G"]) or "").splitlines()
    # Slurm marks the usual partition by a star.
    usual = [line for line in lines if line.partition(" ")[0].endswith("*")]
    return set(re.findall(r"\bgpu(?::[A-Za-z][\w.-]*)?", " ".join(usual or lines)))


def _predecessors(root: Path, after: str) -> str:
    """The numbers of the job, or of all jobs of the sweep, that another one follows, with colons;
    without those that Slurm has forgotten."""
    names = [name for name in os.listdir(str(jobs_folder(root))) if after and after in name]
    launches = (read_json(JobPaths(root, name).launch) for name in sorted(names))
    handles = [each["handle"] for each in launches if each and each["launcher"] == "slurm"]
    return ":".join(str(handle["job"]) for handle in handles if alive(handle))


def alive(handle: Handle) -> Optional[bool]:
    """Whether Slurm has the job, waiting or at work; None where it doesn't answer, or doesn't tell
    us of other people's."""
    job, is_answered = squeue.find(handle)
    if job is None:
        is_ours = handle.get("user", "") in ("", user_name(os.getuid()))
        return False if is_answered and is_ours else None
    return job.state not in squeue.OVER


def waiting(handle: Handle) -> str:
    """Why the job has not begun, or not begun again: its place, Slurm's reason, when it may begin."""
    job, _ = squeue.find(handle)
    if job is None or job.state not in squeue.WAITING:
        return ""
    place = squeue.position(job, str(handle.get("cluster", "")))
    parts = [f"{place[0]} of {place[1]} in partition {job.partition}"] if place else []
    parts += [job.reason] if job.reason not in ("", "None") else []
    parts += [f"expected at {job.start}"] if re.match(r"\d", job.start) else []
    return f"waiting in Slurm (job {job.id}): {', '.join(parts) or job.state.lower()}"


def stop(handle: Handle) -> None:
    """SIGTERM to the worker alone, which ends its job in order; one that waits is taken away."""
    _cancel(handle, "--state=PENDING")
    _cancel(handle, "--batch", "--signal=TERM")


def kill(handle: Handle) -> None:
    """SIGKILL to all that it runs, and an end of it."""
    _cancel(handle, "--full", "--signal=KILL")
    _cancel(handle)


def _cancel(handle: Handle, *words: str) -> None:
    cluster = str(handle.get("cluster", ""))
    answer(
        [*squeue.command("scancel", cluster), "-Q", *words, str(handle["job"])], limit=squeue.LIMIT
    )
    squeue.forget()


def attach(handle: Handle, job_id: str) -> List[str]:
    """A shell beside the worker, on its node: a batch job has no terminal."""
    return [*beside(handle, job_id, terminal=True), os.environ.get("SHELL", "/bin/sh")]


def beside(handle: Handle, job_id: str, *, terminal: bool = False) -> List[str]:
    """srun, for one process on the first of the job's nodes."""
    job, _ = squeue.find(handle)
    if job is None or job.state != "RUNNING":
        raise JobError(
            f"{job_id} does not run yet, so it has no node yet.",
            f"inv remote-logs {job_id} --follow",
        )
    cluster = str(handle.get("cluster", ""))
    # That of an array's task is not its number within the array.
    number = squeue.details(job.id, cluster).get("JobId", job.id)
    where, pty = squeue.command("srun", cluster), ["--pty"] if terminal else []
    return [*where, f"--jobid={number}", "--overlap", *FIRST_NODE, *pty]


def why_ended(handle: Handle) -> str:
    """By what Slurm wrote into its output, by the site's accounts, or by what it still knows."""
    number, cluster = str(handle["job"]), str(handle.get("cluster", ""))
    output = Path(str(handle.get("output", "")))
    told = cause(written(output)) or cause(squeue.account(number, cluster))
    if told:
        return told[0]
    shown = squeue.details(number, cluster)
    told = cause(" ".join(shown.get(name, "") for name in ("JobState", "Reason")))
    if told:
        return told[0]
    if shown.get("ExitCode", "0:0") != "0:0":
        return _why_failed(number, shown, output)
    return f"its worker is gone; Slurm no longer knows its job {number}"


def _why_failed(number: str, shown: Dict[str, str], output: Path) -> str:
    """Of a worker that could not begin: its last words, or that its folder isn't there."""
    node, code = shown.get("BatchHost", "its node"), shown["ExitCode"]
    if not output.exists():
        return (
            f"Slurm job {number} could not begin on {node} (exit code {code}): the target has to lie"
            " on a disk that the nodes see too"
        )
    lines = written(output).strip().splitlines() or [f"exit code {code}"]
    return f"its worker ended on {node}: {lines[-1][:500]}"


def cause(text: str) -> Optional[Tuple[str, str]]:
    """Why Slurm ended a job, by its own last words: for people, and in one word; None where they
    don't say."""
    for line in reversed(text.splitlines()):
        for pattern, words, word in CAUSES:
            if re.search(pattern, line):
                return words, word
    return None


def written(file: Path) -> str:
    """What Slurm has written about a job since its worker last began; empty where that can't be
    read."""
    with contextlib.suppress(OSError), open(str(file), "rb") as content:
        content.seek(max(0, content.seek(0, 2) - TAIL))
        return content.read().decode("utf-8", "replace").rpartition(BEGINS)[2]
    return ""
