"""A Python in a laboratory's environment that has imported what the template's programs need, and
becomes them: importing takes most of their time.

What is typed as `python src/…`, `python -c …`, `mlflow run …` or `mlflow ui`, and what these start,
asks that Python for a copy of itself. All else is started anew, and so are jobs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.copied_python import LIVING
from tests.waiting import until

#: The steps of the pipeline, and what serves MLflow's pages: MLflow starts them.
MODULES = ("main", "preprocess", "train", "building", "building.image", "evaluate", "uvicorn")

#: What MLflow's commands and its users import.
OF_MLFLOW = (
    "git",
    "mlflow.cli",
    "mlflow.pyfunc.scoring_server",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "sqlalchemy.dialects.sqlite",
)
#: What the template's tasks import beside it.
OF_TASKS = (
    *OF_MLFLOW,
    "matplotlib.backends.backend_agg",
    "mlflow.sklearn",
    "skops.io",
    "sklearn.datasets",
)
#: What training with Lightning and Hydra imports beside it.
OF_EXPERIMENTS = (
    *OF_TASKS,
    "hydra.core.plugins",
    "hydra_plugins.hydra_optuna_sweeper._impl",
    "lightning.pytorch",
    "mlflow.pytorch",
    "torch._functorch.aot_autograd",
    "torch._inductor.fx_passes.dedupe_symint_uses",
    "torch.export._trace",
    "torch.utils.tensorboard",
)
#: What the pipeline's steps import beside it.
OF_PIPELINE = (
    *OF_TASKS,
    "mlflow.projects",
    "onnxruntime",
    "onnxscript",
    "torch._inductor.fx_passes.dedupe_symint_uses",
    "torch.onnx._internal.exporter._core",
    "torch.utils.tensorboard",
)

#: What lies in the place of the environment's `python`. Its own start takes a hundredth of a second.
ASKING = """\
#!{real} -IS
import os, signal, sys
argv, words, env = sys.argv, sys.argv[1:], os.environ
first, second = (words + ["", ""])[:2]
is_program = (
    first == "-c"
    or (first == "-m" and second in {modules})
    or (first.endswith(".py") and "src" in os.path.dirname(first).split("/"))
    or (os.path.basename(first) == "mlflow" and second in ("run", "ui"))
)
# What only the start of a Python heeds, and what a job's worker looks for.
is_plain = not any(
    name.startswith(("REMOTE_JOB_", "COVERAGE_"))
    or name.startswith("PYTHON") and name not in ("PYTHONPATH", "PYTHONUNBUFFERED")
    for name in env
)
if not (is_program and is_plain):
    os.execv({real!r}, argv)
import array, json, socket
asked = json.dumps([words, os.getcwd(), dict(env), signal.getsignal(signal.SIGINT) == signal.SIG_IGN])
wire = socket.socket(socket.AF_UNIX)
try:
    wire.connect({address!r})
except OSError:
    os.execv({real!r}, argv)
said = wire.makefile("r")
wire.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
wire.sendall(asked.encode() + b"\\n")
pid = int(said.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, frame: os.kill(pid, number))
code = int(said.readline() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""

#: Copies itself for each who asks, until its input ends.
PROGRAM = LIVING + """
import array, gc, importlib, json, runpy, select, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
for name in sys.argv[2:]:
    importlib.import_module(name)
started_with = list(sys.path)

def become(words, cwd, env, is_deaf):
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN if is_deaf else signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    importlib.invalidate_caches()
    sys.stdout.reconfigure(write_through="PYTHONUNBUFFERED" in env)
    given = [os.path.abspath(each) for each in env.get("PYTHONPATH", "").split(":") if each]
    sys.path[:] = [*given, *started_with[1:]]
    first, *rest = words
    if first == "-m":
        sys.path.insert(0, cwd)
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(first)))
        sys.argv[:] = words
        runpy.run_path(first, run_name="__main__")

def run(streams, asked):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    live(become, *asked)

def serve(wire):
    # One byte, with the streams; then the question.
    _, sent, _, _ = wire.recvmsg(1, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i", sent[0][2])
    asked = json.loads(wire.makefile("r").readline())
    pid = os.fork()
    if not pid:
        wire.close()
        run(streams, asked)
    for stream in streams:
        os.close(stream)
    wire.sendall(f"{pid}\\n".encode())
    code = exit_code_of(pid)
    try:
        # A server's own processes, which its terminal would end with it.
        os.killpg(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    wire.sendall(f"{code}\\n".encode())
    os._exit(0)

# A collection would have each copy all that was imported.
gc.freeze()
while True:
    ready, _, _ = select.select([listener, 0], [], [])
    if 0 in ready:
        sys.exit()
    wire, _ = listener.accept()
    if not os.fork():
        listener.close()
        serve(wire)
    wire.close()
    while True:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                break
        except ChildProcessError:
            break
"""


@contextmanager
def warm(python: Path, imports: Sequence[str], env: Mapping[str, str]) -> Iterator[None]:
    """For as long as this lasts, programs of `python`, an environment's, are copies of one."""
    real = str(Path(sys.executable).resolve())
    # Sockets have short paths.
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "socket"
        started = subprocess.Popen(
            [python, "-c", PROGRAM, address, *imports],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            until(address.exists)
            python.unlink()
            python.write_text(ASKING.format(real=real, address=str(address), modules=MODULES))
            python.chmod(0o755)
            yield
        finally:
            started.terminate()
            started.communicate()
