"""`inv remote-lab`, `remote-tensorboard`, `remote-ui`: pages that the target serves, opened here."""

from __future__ import annotations

from invoke.context import Context

from remote.operations.run_options import LabOptions, ServiceOptions, TensorboardOptions
from remote.tasks.declare import command
from remote.tasks.sync import server_of


@command(options=LabOptions)
def remote_lab(c: Context, target: str = "", options: LabOptions = LabOptions()) -> None:
    """Open JupyterLab on the target, on its whole machine, through a tunnel.

    It goes on there when Ctrl-C closes the tunnel; inv remote-lab opens it again.
    """
    from remote.operations import services

    if options.bring:
        services.bring_and_tell(server_of(target))
    else:
        services.serve(server_of(target), services.LAB, options)


@command(options=TensorboardOptions)
def remote_tensorboard(
    c: Context, target: str = "", options: TensorboardOptions = TensorboardOptions()
) -> None:
    """Open TensorBoard on the target's logs, through a tunnel."""
    from remote.operations import services

    services.serve(server_of(target), services.TENSORBOARD, options)


@command(options=ServiceOptions)
def remote_ui(c: Context, target: str = "", options: ServiceOptions = ServiceOptions()) -> None:
    """Open mlflow ui on the target's own records, through a tunnel."""
    from remote.operations import services

    services.serve(server_of(target), services.UI, options)
