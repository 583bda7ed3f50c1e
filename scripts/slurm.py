"""A private Slurm, for the tests and the measurements: munge, a controller and two nodes of four GPUs, all on loopback.

Nothing of it runs as a service or is seen by another Slurm of this machine: its key, its sockets, its
ports and its state are its own. A link to /dev/null is device enough for a GPU.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.sshd import free_port

#: Where Debian puts what isn't for everybody.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged", "munge")
NODES = ("gpu1", "gpu2")
LIMIT = 30.0  # seconds until it is there, or gone

_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=50000,sched_interval=1,bf_interval=1
KillWait=5
UnkillableStepTimeout=60
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""


class Cluster:
    """A Slurm below `folder`, which `env` leads its programs to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: Mapping[str, str] = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def run(self, *argv: str) -> str:
        """What a program of Slurm's says; raises RuntimeError where it fails."""
        done = subprocess.run(
            argv, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=LIMIT
        )
        if done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr}")
        return done.stdout

    def start(self) -> None:
        self._write()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        names = ("key", "socket", "pid", "log", "seed")
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in names if name != "socket"]
        self.run("munged", "--force", *files, f"--socket={self.folder}/munge.socket")
        self._until(lambda: self.run("munge", "-S", f"{self.folder}/munge.socket", "-n"))
        conf = self.env["SLURM_CONF"]
        self.run("slurmctld", "-f", conf)
        for node in NODES:
            self.run("slurmd", "-N", node, "-f", conf)
        self._until(lambda: self.states() == ["idle", "idle"])

    def states(self) -> list[str]:
        """Those of the nodes."""
        return self.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%T").split()

    def mend(self) -> None:
        """Have nodes that were taken down serve again."""
        for node in NODES:
            with suppress(RuntimeError):
                self.run("scontrol", "update", f"nodename={node}", "state=resume")
        self._until(lambda: not {"down", "down*"} & {*self.states()})

    def _write(self) -> None:
        host = os.uname().nodename.partition(".")[0]
        nodes, gpus = [], ["AutoDetect=off"]
        for node in NODES:
            devices = self.folder / "devices" / node
            devices.mkdir(parents=True)
            for number in range(4):
                (devices / f"nvidia{number}").symlink_to(os.devnull)
            nodes.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()}"
                " CPUs=16 RealMemory=8000 Gres=gpu:a100:4"
            )
            gpus.append(
                f"NodeName={node} Name=gpu Type=a100 Flags=nvidia_gpu_env"
                f" File={devices}/nvidia[0-3]"
            )
        values = {"host": host, "port": free_port(), "user": getpass.getuser()}
        text = _CONF.format(folder=self.folder, nodes="\n".join(nodes), **values)
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text("\n".join(gpus) + "\n")

    def stop(self) -> None:
        """End all of it, the jobs first."""
        with suppress(RuntimeError):
            self.run("scancel", "-u", getpass.getuser(), "--full", "--signal=KILL")
            self.run("scancel", "-u", getpass.getuser())
            self._until(lambda: not self.run("squeue", "-h"))
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munge"):
            with suppress(OSError, ValueError):
                # Nobody needs the state that it would take seconds to save.
                os.kill(int((self.folder / f"{name}.pid").read_text()), signal.SIGKILL)

    def _until(self, look: Callable[[], object]) -> None:
        end, said = time.monotonic() + LIMIT, "nothing"
        while time.monotonic() < end:
            try:
                if look():
                    return
            except RuntimeError as error:
                said = str(error)
            time.sleep(0.05)
        raise RuntimeError(f"Slurm is not as it should be ({said})\n{self._words()}")

    def _words(self) -> str:
        logs = [*self.folder.glob("*.log")]
        return "\n".join(log.read_text("utf-8", "replace")[-500:] for log in logs)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A Slurm with two nodes; raises FileNotFoundError where it isn't installed."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing:
        names = "slurmctld slurmd sbatch munged"
        raise FileNotFoundError(f"{missing[0]} is not installed: sh scripts/tools.sh {names}")
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
