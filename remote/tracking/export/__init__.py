"""One-way export of the local store's runs to an MLflow server, through MLflow's own client.

    pending(order)    what is new or changed since it was sent, without asking the server
    export(order)     send that

Runs and models get new ids on the server, and are known again by the tags `remote.source_run` and
`remote.source_model`. A record of what was written (`export_record`) stays in the project, so that a
value that somebody changed on the server is left alone. Only this folder imports mlflow, and only
inside functions: importing it costs four seconds.
"""

from remote.tracking.export.export_session import ExportSummary
from remote.tracking.export.pending import ExportOrder, pending
from remote.tracking.export.run_export import export
from remote.tracking.export.server_client import ServerAddress

__all__ = ["ExportOrder", "ExportSummary", "ServerAddress", "export", "pending"]
