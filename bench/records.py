"""The records' part of a pull, in one process: `python -m bench.records THERE HERE`.

What the agent does (write the delta) and what the client does (merge it), without the ssh between.
"""

from __future__ import annotations

import sys
from pathlib import Path

from remote import merge
from remote.host import delta


def pull(there: Path, here: Path) -> merge.MergeSummary:
    """Merge the store `there` into the store `here`, as at the first pull."""
    base, changes = here.with_name("base.db"), here.with_name("delta.db")
    delta.write(there, changes, merge.known(base, store=here))
    summary = merge.merge(
        changes, store=here, artifact_root=here.with_name("mlruns"), base=base, source="bench"
    )
    merge.settle(base, summary.artifacts)
    return summary


if __name__ == "__main__":
    done = pull(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{done.new_runs} runs, {done.metric_rows} metric points")
