"""One-way export of the local store's runs to an MLflow server, through MLflow's own client.

Runs and models get new ids on the server, and are known again by the tags `remote.source_run` and
`remote.source_model`. A record of what was written (`export_record`) stays in the project, so that a
value that somebody changed on the server is left alone. Only this folder imports mlflow, and only
once there is something to send: importing it costs four seconds.
"""

from __future__ import annotations

import sqlite3
from typing import Callable, Optional

from remote.tracking.export.export_record import (
    ExportOrder,
    ExportRecord,
    ExportSummary,
    signatures_here,
)
from remote.tracking.export.server_client import parse_address, server_client
from remote.tracking.schema import RUN
from remote.tracking.store import unusable

__all__ = ["ExportOrder", "ExportSummary", "export"]


def export(
    order: ExportOrder,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    dry_run: bool = False,
) -> Optional[ExportSummary]:
    """Send what is new or changed; None where nothing is, and then the server isn't asked.

    Stopped anywhere, the next export does the rest. A dry run only counts the runs. Raises
    StoreError, ConnectError and ConfigError.
    """
    url, record = parse_address(order.address)[0], ExportRecord(order.record)
    try:
        signatures = signatures_here(order)
        todo = record.unsent(signatures)
        if not todo or dry_run:
            runs = sum(kind == RUN for kind, _ in todo)
            return ExportSummary(url, grown_runs=runs) if todo else None
        with server_client(order.address, order.settings) as client:
            # It imports mlflow, which reads its settings at that moment.
            from remote.tracking.export.run_export import send

            return send(order, client, record, signatures, progress)
    except sqlite3.Error as error:
        raise unusable(order.store, error) from error
