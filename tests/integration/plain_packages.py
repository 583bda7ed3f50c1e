"""Programs that log to MLflow through packages which have loggers of their own."""

from __future__ import annotations

#: What these need, which the one Python that becomes them imports once.
IMPORTS = (
    "lightning.pytorch.loggers",
    "transformers.trainer",
    "accelerate",
    "kedro.framework.session",
    "kedro.framework.startup",
    "kedro.runner",
    "kedro_mlflow.framework.hooks.mlflow_hook",
    "hydra_plugins.hydra_joblib_launcher._core",
    "torch.distributed.run",
)

_LIGHTNING = """
import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import MLFlowLogger

class Line(pl.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, number):
        loss = self.layer(batch[0]).square().mean()
        self.log("loss", loss, on_step=True, on_epoch=False)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)

torch.manual_seed(0)
torch.set_num_threads(1)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))
logger = MLFlowLogger("lightning", run_name="lit", tracking_uri="sqlite:///mlflow.db")
options = dict(enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
trainer = pl.Trainer(max_epochs=2, logger=logger, log_every_n_steps=1, accelerator="cpu", **options)
trainer.fit(Line(), data)
"""

_TRANSFORMERS = """
import torch
from transformers import Trainer, TrainingArguments

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, labels):
        return {"loss": (self.layer(x) - labels).square().mean()}

torch.manual_seed(0)
torch.set_num_threads(1)
rows = [{"x": torch.ones(1), "labels": torch.zeros(1)}] * 4
logged = dict(report_to="mlflow", run_name="hf", logging_steps=1, disable_tqdm=True)
arguments = TrainingArguments("outputs", max_steps=2, save_strategy="no", use_cpu=True, **logged)
Trainer(Line(), arguments, train_dataset=rows).train()
"""

_KEDRO = {
    "main.py": """
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
with KedroSession.create(Path.cwd()) as session:
    session.run()
""",
    "pyproject.toml": """
[tool.kedro]
package_name = "shop"
project_name = "shop"
kedro_init_version = "1.7.0"
source_dir = "src"
""",
    "src/shop/__init__.py": "",
    "src/shop/settings.py": "",
    "src/shop/pipeline_registry.py": """
import mlflow
from kedro.pipeline import Pipeline, node
def double(rate):
    return 2 * rate
def log(doubled):
    mlflow.log_metric("doubled", doubled)
def register_pipelines():
    nodes = [node(double, "params:rate", "doubled"), node(log, "doubled", None)]
    return {"__default__": Pipeline(nodes)}
""",
    "conf/base/parameters.yml": "rate: 0.5\n",
    "conf/base/catalog.yml": "",
    "conf/local/credentials.yml": "",
    "conf/base/mlflow.yml": """
server: {mlflow_tracking_uri: "sqlite:///mlflow.db"}
tracking: {experiment: {name: kedro}}
""",
}

_TORCHRUN = {
    "main.py": """
from torch.distributed.run import main
main(["--standalone", "--nproc-per-node=2", "worker.py"])
""",
    "worker.py": """
import os
import torch
import torch.distributed
torch.distributed.init_process_group("gloo")
total = torch.ones(1)
torch.distributed.all_reduce(total)
if torch.distributed.get_rank() == 0:
    import mlflow
    with mlflow.start_run(run_name="rank 0"):
        mlflow.log_metric("total", total.item())
torch.distributed.destroy_process_group()
""",
}

_HYDRA = """
import hydra, mlflow
@hydra.main(version_base=None)
def main(config):
    with mlflow.start_run(run_name=f"x{config.x}"):
        mlflow.log_param("x", config.x)
        mlflow.log_metric("loss", config.x)
if __name__ == "__main__":
    import sys
    sys.argv += ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "+x=1,2"]
    main()
"""

#: The files of each program.
PACKAGES: dict[str, dict[str, str]] = {
    "lightning": {"main.py": _LIGHTNING},
    "transformers": {"main.py": _TRANSFORMERS},
    "kedro": _KEDRO,
    "torchrun": _TORCHRUN,
    "hydra_joblib": {"main.py": _HYDRA},
}
