"""Jobs under a real Slurm, from sbatch to the last word on each."""

from __future__ import annotations

from remote.job.status import FINISHED, RUNNING
from tests.slurm.conftest import Target


def test_a_job_runs_on_the_node_and_the_gpus_that_slurm_gave_it(target: Target) -> None:
    paths = target.start('echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"; pwd', gpus=2)
    status = target.became(paths)
    log = paths.log.read_text()
    assert (status.state, status.exit_code) == (FINISHED, 0), log
    assert log.splitlines()[:2] == ["gpu1 0,1", str(paths.code)]
    assert [gpu.index for gpu in status.gpus] == [0, 1]
