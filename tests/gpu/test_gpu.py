"""On a machine with a real NVIDIA GPU: lease, CUDA_VISIBLE_DEVICES, a CUDA notebook, peak memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent.gpus import sources
from remote.agent.worker.usage import GpuUsage
from tests.conftest import ROOT, ProjectFolder, make_project
from tests.integration import notebooks
from tests.waiting import until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="this machine has no nvidia-smi"),
]

SOCKET = f"remote-gpu-test-{os.getpid()}"

#: Takes 512 MiB by CUDA's own driver library, so that no framework need be installed.
CUDA = """\
import ctypes, os, time
cuda = ctypes.CDLL("libcuda.so.1")
def check(code):
    assert code == 0, f"CUDA error {code}"
device, context, memory, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_int()
check(cuda.cuInit(0))
check(cuda.cuDeviceGetCount(ctypes.byref(count)))
print("visible", os.environ["CUDA_VISIBLE_DEVICES"], "count", count.value)
check(cuda.cuDeviceGet(ctypes.byref(device), 0))
name = ctypes.create_string_buffer(100)
check(cuda.cuDeviceGetName(name, 100, device))
print("device", name.value.decode())
check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(512 << 20)))
check(cuda.cuMemsetD8_v2(memory, 1, ctypes.c_size_t(512 << 20)))
check(cuda.cuCtxSynchronize())
time.sleep(3)
print("done")
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectFolder]:
    if not sources.gpus():
        pytest.skip("nvidia-smi finds no GPU on this machine")
    if not shutil.which("tmux") or not shutil.which("rsync"):
        pytest.skip("rsync or tmux is not installed: sudo apt-get install rsync tmux")
    made = make_project(
        tmp_path / "project",
        TARGET_DIR=str(tmp_path / "server" / "proj"),
        REMOTE_TMUX_SOCKET=SOCKET,
        REMOTE_LEASES=str(tmp_path),
    )
    # The packages of the environment that runs this test will do.
    shutil.copy(ROOT / "requirements.lock", made.root)
    yield made
    subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True)


def test_a_notebook_on_a_gpu(project: ProjectFolder) -> None:
    project.write("src/notebooks/cuda.ipynb", notebooks.notebook(CUDA))
    said = project.inv("remote-run", "cuda.ipynb", "--follow").out
    job = said.splitlines()[0]
    [found] = json.loads(project.inv("remote-ps", job, "--json").out)["jobs"]
    [gpu] = found["gpus"]
    assert f"visible {gpu['uuid']} count 1" in said
    assert f"device {gpu['name']}" in said
    assert found["peak_gpu_memory"] >= 512
    assert found["driver"] and found["cuda"]


def test_a_job_for_no_gpu_sees_none(project: ProjectFolder) -> None:
    project.write("src/notebooks/cuda.ipynb", notebooks.notebook(CUDA))
    done = project.inv("remote-run", "cuda.ipynb", "--gpus", "0", "--follow", check=False)
    assert done.code == 1 and "CUDA error 100" in done.out


def test_two_jobs_share_a_card(project: ProjectFolder) -> None:
    """Both see the one card, each with half of it, and a third one waits."""
    project.write("src/notebooks/cuda.ipynb", notebooks.notebook(CUDA.replace("(3)", "(20)")))
    [model, *_] = {gpu.uuid for gpu in sources.gpus()}
    others = [gpu.uuid for gpu in sources.gpus() if gpu.uuid != model]
    words = ["remote-run", "cuda.ipynb", *(["--gpus-exclude", ",".join(others)] if others else [])]
    jobs = [project.inv(*words, "--gpus", "0.5").out.splitlines()[0] for _ in range(2)]
    until(lambda: all(state_of(project, job) == "running" for job in jobs))
    [gpu] = [
        gpu
        for gpu in json.loads(project.inv("remote-gpus", "--json").out)["gpus"]
        if gpu["uuid"] == model
    ]
    assert sorted(sharer["job"] for sharer in gpu["sharers"]) == sorted(jobs)
    third = project.inv(*words, "--gpus", "0.1").out.splitlines()[0]
    until(
        lambda: "too little"
        in json.loads(project.inv("remote-ps", third, "--json").out)["jobs"][0]["waiting"]
    )
    for job in (*jobs, third):
        assert project.inv("remote-wait", job).code == 0


def state_of(project: ProjectFolder, job: str) -> str:
    return str(json.loads(project.inv("remote-ps", job, "--json").out)["jobs"][0]["state"])


def test_what_nvidia_smi_says_is_understood() -> None:
    for gpu in sources.gpus():
        assert gpu.uuid.startswith(("GPU-", "MIG-")) and gpu.memory_total > 0 and gpu.driver
    assert sources.runtime_version()


def test_what_the_cards_do_is_told() -> None:
    cards = sources.gpus()
    with GpuUsage(gpu.uuid for gpu in cards) as watch:
        until(lambda: len({sample.uuid for sample in watch._samples}) == len(cards))
    for sample in watch.means().values():
        assert sample.memory_total > 0 and sample.memory_used is not None
        # Of a MIG device, no more is told.
        assert sample.uuid.startswith("MIG-") or sample.load is not None and sample.temperature
