"""MLflow's file store (`mlruns/` with `meta.yaml`) as a source of records.

    is_file_store(folder)              True for such a folder
    write(folder, out, known, …)       the same delta as remote.tracking.delta.write

Read are experiments, runs, parameters, metrics, tags, data sets, logged models and where artifacts
lie; what else is there is named. A file store has no transactions and no row ids: what changed is
seen by the sizes and times of a run's files, and a changed run is read whole.
"""

from remote.tracking.filestore.layout import is_file_store
from remote.tracking.filestore.write_delta import write

__all__ = ["is_file_store", "write"]
