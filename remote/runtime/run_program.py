"""Become a job's program: a script, a module, a command or an MLproject."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Dict, List, Mapping

from remote.job.kinds import kind_of
from remote.job.spec import JobSpec, read_job
from remote.runtime.sweep_key import code_digest

#: Hydra's own seam for what happens around its runs (`hydra.experimental.callback`).
CALLBACK = "remote.runtime.hydra_callback.JobCallback"
OVERRIDE = f"++hydra.callbacks.remote_job._target_={CALLBACK}"

#: Hydra 1.4 warns of every callback that no whitelist names. This one was not the user's idea.
QUIET = f"ignore:hydra.utils.instantiate() resolved _target_='{CALLBACK}'"

NOT_FOUND = 127
NOT_RUNNABLE = 126


def main() -> None:
    """`program <job folder>`: this process becomes the program, so its exit code is the job's."""
    folder = Path(sys.argv[2])
    job = read_job(folder)
    variables, added = dict(os.environ), []
    run = os.environ.get("REMOTE_JOB_RUN", "")
    # The program has this process's id: it may go on with the run, what it starts may not.
    variables["REMOTE_JOB_OFFER"] = f"{os.getpid()} {run}"
    if job.hydra:
        code_digest(folder, Path.cwd())
        added = hydra_words(job)
        variables = hydra_variables(variables, folder)
    if job.cwd:
        if kind_of(job).source_is_path:
            job = job.replace(source=os.path.relpath(job.source, job.cwd))
        os.chdir(job.cwd)
    words = kind_of(job).argv(job, sys.executable, run) + added
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(words[0], words, variables)
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        reason = "not found in this job" if missing else error.strerror
        print(f"[remote] {words[0]}: {reason}.", file=sys.stderr)
        sys.exit(NOT_FOUND if missing else NOT_RUNNABLE)


def hydra_variables(base: Mapping[str, str], folder: Path) -> Dict[str, str]:
    """What a Hydra application sees: the job's folder tells the callback what it belongs to."""
    warnings = ",".join(filter(None, [base.get("PYTHONWARNINGS"), QUIET]))
    return {**base, "REMOTE_JOB_FOLDER": str(folder.resolve()), "PYTHONWARNINGS": warnings}


def hydra_words(job: JobSpec) -> List[str]:
    """What a Hydra application gets behind the user's own words."""
    for path in kind_of(job).source_files(job):
        with contextlib.suppress(OSError):
            source = path.read_bytes()
            # It lists what its configuration may name, and we are not listed.
            if b"execution_whitelist" in source and b"remote.runtime" not in source:
                print(
                    f"[remote] The application's execution_whitelist lacks '{CALLBACK}': its runs"
                    " are not recorded one by one, and its sweeps start anew.",
                    file=sys.stderr,
                )
                return []
    return [OVERRIDE]
