"""Lines of the user's own that bash runs before a job, such as `module load cuda/12.4`; what they
export is the job's."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import IO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from remote.agent import processes
from remote.errors import JobError

#: Runs its arguments, but for the first: a descriptor that gets all variables before the first of
#: them and after the last, and between them the number of each. What they start in the background
#: doesn't hold that open. They may leave no PATH.
_SCRIPT = r"""
eval "exec 3>&$1 $1>&-"; shift
_remote_env=$(type -P env)
"$_remote_env" -0 >&3
_remote_number=0
for _remote_line; do
    printf '%s\0' "$((_remote_number += 1))" >&3
    [ -n "$REMOTE_QUIET" ] || printf '[remote] setup: %s\n' "$_remote_line"
    eval "$_remote_line" 3>&- || exit
done
printf '0\0' >&3
"$_remote_env" -0 >&3
"""

#: What each bash sets for itself.
_BASHS_OWN = ("_", "SHLVL", "PWD", "OLDPWD", "REMOTE_QUIET")


class Exports(NamedTuple):
    """What lines set, by name, and what they unset."""

    values: Mapping[str, str] = {}
    unset: Sequence[str] = ()


def run(
    lines: Sequence[str], log: IO[bytes], cwd: Path, env: Mapping[str, str], *, quiet: bool = False
) -> Exports:
    """Run the lines in a login shell, in which `module` and the like are defined; raises JobError
    that names the one that fails. What the shell's own start-up files set is no business of theirs.
    """
    reading, writing = os.pipe()
    shell = ["bash", "-l", "-c", _SCRIPT, "bash", str(writing), *lines]
    try:
        process = subprocess.Popen(
            shell,
            cwd=str(cwd),
            env={**env, "REMOTE_QUIET": "1" if quiet else ""},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            preexec_fn=processes.dying_with_us(),
        )
    except OSError as error:
        os.close(reading)
        raise JobError(
            f"bash, which is to run `setup`, doesn't start: {error}",
            "Install bash on the server, or take `setup` out of [tool.remote].",
        ) from None
    finally:
        os.close(writing)
    try:
        with os.fdopen(reading, "rb") as answer:
            records = answer.read().split(b"\0")
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    parts = list(_parts(records))
    if code or len(parts) < len(lines) + 2:
        line = lines[len(parts) - 2] if 1 < len(parts) < len(lines) + 2 else "its shell's start"
        became = f"failed ({code})" if code else "ended its own shell"
        raise JobError(f"`setup` {became}: {line}", "Its output is in the job's log.")
    return _difference(parts[0], parts[-1])


def _parts(records: Sequence[bytes]) -> Iterator[Dict[str, str]]:
    """The variables before the first line, nothing for each line, and those after the last."""
    part: Dict[str, str] = {}
    for record in map(os.fsdecode, records):
        name, is_variable, value = record.partition("=")
        if is_variable:
            part[name] = value
        elif record:
            yield part
            part = {}
    yield part


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> Exports:
    values = {
        name: value
        for name, value in after.items()
        if before.get(name) != value and name not in _BASHS_OWN
    }
    gone = {*before} - {*after} - {*_BASHS_OWN}
    return Exports(values, sorted(gone))


def activation(prefix: Optional[Path]) -> List[str]:
    """What `conda activate` runs for the packages of an environment that want variables of their
    own: compilers, GDAL, some of CUDA."""
    files = sorted(prefix.glob("etc/conda/activate.d/*.sh")) if prefix else []
    # conda activates in spite of what they say.
    return [f". {shlex.quote(str(file))} || true" for file in files]
