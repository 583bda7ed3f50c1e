"""Services: pages that the toolkit itself serves on a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remote.job import kinds
from remote.job.spec import JobSpec


@dataclass(frozen=True)
class Service:
    """What can be served. `package` is what its environment must hold: where the lock file doesn't
    name it, the `extra` is installed too."""

    name: str
    title: str
    package: str
    extra: str = ""


LAB = Service("lab", "JupyterLab", "jupyterlab", "lab")
TENSORBOARD = Service("tensorboard", "TensorBoard", "tensorboard", "torch")
UI = Service("ui", "MLflow's UI", "mlflow")


@dataclass(frozen=True)
class ServicePage:
    """A service, and where it looks: `folder` or `logdir` of the target, by name."""

    service: Service
    place: Mapping[str, str]

    def job_spec(
        self,
        root: Path,
        parameters: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        output: str = "",
    ) -> JobSpec:
        """A job in the target's own tree, without an MLflow run."""
        spec = JobSpec(
            kind=kinds.SERVICE.name,
            source=self.service.title,
            name=self.service.name,
            service=self.service.name,
            live=True,
            record=False,
        )
        return replace(spec, **self.place)  # type: ignore[arg-type]
