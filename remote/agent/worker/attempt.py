"""The executions of a job's code: started, watched, ended when the time is over, and why each ended.

That is told from its exit code, the end of its log, and the kernel's counter. When all is over, the
user's own command may tell of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Mapping, Union

from remote.agent import processes, reserve
from remote.agent.tracking import job_run
from remote.agent.worker import Outcome, Record
from remote.agent.worker.curves import Curves
from remote.agent.worker.last_error import last_error
from remote.agent.worker.usage import GpuUsage, ProcessUsage
from remote.agent.worker.variables import of_job
from remote.errors import StoreError
from remote.job.kinds import kind_of
from remote.job.spec import Job
from remote.job.status import FAILED, FINISHED, RUNNING

#: How long a job may take to end after it was asked to, in seconds.
PATIENCE = 10.0

#: Seconds between two looks whether its cards are idle.
LOOK = 1.0

#: How long the command of `--notify` may take, in seconds.
NOTIFY_LIMIT = 60.0

VMSTAT = Path("/proc/vmstat")

#: How much of the log's end is read for signs of an error, in bytes.
TAIL = 1 << 16

#: What CUDA, PyTorch, TensorFlow, JAX and CuPy say when a GPU's memory is used up.
_GPU_MEMORY = re.compile(
    rb"CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
    rb"|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    rb"|RESOURCE_EXHAUSTED: (Out of memory|OOM)|OOM when allocating tensor"
    rb"|cupy\S*OutOfMemoryError"
)

#: What the system and SQLite say of a full disk.
_DISK = re.compile(rb"No space left on device|Disk quota exceeded|database or disk is full")

_KERNEL_DIED = re.compile(rb"DeadKernelError|Kernel died")

CRASHED, SIGNAL, TIMEOUT, OOM, OOM_GPU = "error", "signal", "timeout", "oom", "oom-gpu"
DISK, IDLE = "disk", "idle"


def attempts(record: Record, python: Path, devices: Mapping[str, str]) -> Outcome:
    """Run the code, again where it fails and retries are left; how the last attempt ended.

    `devices` are the variables that tell it which GPUs it may see.
    """
    number = record.status.attempt + 1
    last, is_recorded = number + record.job.retries, record.run is not None
    while True:
        result = _attempt(record, number, python, devices)
        if result.state != FAILED or number == last:
            return result
        record.say(f"attempt {number} of {last} failed ({result.cause}); trying again")
        with _no_obstacle(record):
            job_run.end_runs(record.paths, record.job, record.status.replace(state=FAILED))
        record.write(mlflow_run=os.urandom(16).hex())
        if is_recorded:
            record.run = None
            with _no_obstacle(record):
                record.begin_run()
        number += 1


@contextlib.contextmanager
def _no_obstacle(record: Record) -> Iterator[None]:
    """A store that can't be used any more, or is locked, keeps no code from running."""
    try:
        yield
    except (OSError, StoreError) as error:
        record.say(f"its MLflow run is incomplete: {error}")


def _attempt(record: Record, number: int, python: Path, devices: Mapping[str, str]) -> Outcome:
    """Run the code once, in a session of its own. A stop from outside ends it, and goes on."""
    paths, job = record.paths, record.job
    record.write(state=RUNNING, running=time.time(), attempt=number, waiting="")
    if record.run:
        with _no_obstacle(record):
            job_run.start_run(paths, record.run.run_id)
    # What is edited in a service is the target's own; its environment is the snapshot's.
    place = paths.root if job.live else record.code
    env = {**of_job(record, place, python), **devices}
    if job.idle and not record.status.gpus:
        record.say("this job has no GPU, so --idle has no effect")
    # Of the file that is written to, should somebody have removed it to make room.
    offset, kills = os.fstat(record.log.fileno()).st_size, kernel_kills()
    gpus = GpuUsage(gpu.uuid for gpu in record.status.gpus)
    curves = Curves(job_run.store_of_job(paths), record.run, gpus)
    tree = ProcessUsage(curves.look)
    try:
        with gpus:
            tree.awaited |= gpus.pids
            with tree:
                code = _execute(record, python, place, env, gpus, tree)
        if isinstance(code, Outcome):
            return code
        log, killed = tail(paths.log, offset), kernel_kills() - kills
        return outcome(code, log=log, kills=killed, full=reserve.is_full(place))
    finally:
        # What is left of it must not use a GPU that others may lease now.
        processes.end_descendants(os.getpid())
        if not record.here and record.environment.kind.STARTS_ELSEWHERE:
            processes.end(lambda: processes.of_job(paths.id, paths.log, None))
        curves.write()
        record.status = record.status.replace(
            peak_memory=max(tree.peak, record.status.peak_memory),
            peak_gpu_memory=max(gpus.peak, record.status.peak_gpu_memory),
        )


def _execute(
    record: Record,
    python: Path,
    place: Path,
    env: Mapping[str, str],
    gpus: GpuUsage,
    tree: ProcessUsage,
) -> Union[int, Outcome]:
    """The exit code of the agent's program that starts the user's code inside the environment; else
    why it was ended."""
    entry = kind_of(record.job).entry
    child = subprocess.Popen(
        [str(python), os.path.abspath(sys.argv[0]), entry, str(record.paths.folder)],
        cwd=str(place),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=record.log,
        stderr=record.log,
        start_new_session=True,
        preexec_fn=processes.dying_with_us(),
    )
    tree.awaited.add(child.pid)
    try:
        # Whoever finds this worker gone ends what is left of its session.
        with contextlib.suppress(OSError):
            record.write(code=processes.identity(child.pid))
        return _await(child, record.job, gpus)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _await(child: subprocess.Popen[bytes], job: Job, gpus: GpuUsage) -> Union[int, Outcome]:
    """Its exit code; else why it is to be ended now."""
    began = time.monotonic()
    while True:
        rest = job.timeout - (time.monotonic() - began) if job.timeout else None
        if rest is not None and rest <= 0:
            return Outcome(FAILED, 124, f"timeout after {job.timeout} s", TIMEOUT)
        if job.idle and gpus.idle >= job.idle:
            return Outcome(FAILED, 124, f"its GPUs did nothing for {job.idle} s", IDLE)
        try:
            return child.wait(LOOK if job.idle else rest)
        except subprocess.TimeoutExpired:
            continue


def notify(record: Record) -> None:
    """Run the command of `--notify`, told by variables what became of the job, which it can't fail."""
    job, status = record.job, record.status
    variables = {
        "REMOTE_JOB_ID": job.id,
        "REMOTE_JOB_NAME": job.name,
        "REMOTE_JOB_STATE": status.state,
        "REMOTE_JOB_EXIT_CODE": str(status.exit_code),
        "REMOTE_JOB_CAUSE": status.cause,
        "REMOTE_JOB_RESULT": status.result,
    }
    try:
        ended = subprocess.run(
            ["sh", "-c", job.notify],
            cwd=str(record.paths.root),
            env={**os.environ, **job.env, **variables},
            stdin=subprocess.DEVNULL,
            stdout=record.log,
            stderr=record.log,
            timeout=NOTIFY_LIMIT,
        )
        if ended.returncode:
            record.say(f"--notify: its command failed (exit code {ended.returncode})")
    except (OSError, subprocess.TimeoutExpired) as error:
        record.say(f"--notify: {error}")


def kernel_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it started."""
    try:
        match = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


def tail(log: Path, offset: int) -> bytes:
    """The end of a log, from byte `offset` on; nothing where somebody has removed it."""
    with contextlib.suppress(FileNotFoundError), open(str(log), "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(offset, size - TAIL))
        return file.read()
    return b""


def outcome(code: int, *, log: bytes, kills: int, full: bool = False) -> Outcome:
    """What an exit code (negative: a signal, as subprocess tells it) means.

    `log` is the end of what the attempt wrote, `kills` how many processes the kernel killed for
    want of memory meanwhile: it tells nobody which, so that counts only where one of ours was.
    `full` says that the disk is: of that, there may be no room in the log.
    """
    if code == 0:
        return Outcome(FINISHED, 0)
    shown = code if code > 0 else 128 - code
    killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL) or bool(_KERNEL_DIED.search(log))
    if killed and kills > 0:
        return Outcome(FAILED, shown, "out of memory: the server's kernel killed it", OOM)
    if _GPU_MEMORY.search(log):
        return Outcome(FAILED, shown, "out of GPU memory", OOM_GPU)
    if re.search(rb"^(MemoryError|numpy\S*MemoryError)\b", log, re.MULTILINE):
        return Outcome(FAILED, shown, "out of memory (MemoryError)", OOM)
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return Outcome(FAILED, shown, f"killed by {name}", SIGNAL)
    if _KERNEL_DIED.search(log):
        return Outcome(FAILED, shown, "its notebook's kernel died", SIGNAL)
    # Python itself ends so, by an exception that nobody caught; a program's own exit codes tell of
    # another end, whatever it had logged before.
    raised = last_error(log) if code == 1 else ""
    cause = raised or f"exit code {shown}"
    if full or _DISK.search(log):
        where = "the server's disk is full" if full else "a disk was full, or a quota used up"
        return Outcome(FAILED, shown, f"{cause}: {where}", DISK)
    return Outcome(FAILED, shown, cause, CRASHED)
