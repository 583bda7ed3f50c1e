"""Folders of artifacts travel in groups."""

from __future__ import annotations

from pathlib import Path

from remote.operations.tracking.artifact_transfer import transfer_artifacts
from remote.transport.rsync_args import artifact_filters
from remote.transport.rsync_tally import Tally


def test_each_group_of_artifact_folders_is_one_transfer() -> None:
    asked = []

    def transfer(source: str, target: str, wanted: Path) -> Tally:
        asked.append((source, target, wanted.read_text()))
        return Tally(sent=["a"], replaced=["b"], bytes=2)

    groups = {("mlruns/3", "mlruns/8"): ["r1/artifacts", "r2/artifacts"], ("x/y", "z"): ["**"]}
    tally = transfer_artifacts(groups, transfer)
    assert sorted(asked) == [(*ends, artifact_filters(names)) for ends, names in groups.items()]
    assert (tally.sent, tally.replaced, tally.bytes) == (
        ["mlruns/8/a", "z/a"],
        ["mlruns/8/b", "z/b"],
        4,
    )
    assert transfer_artifacts({}, transfer) == Tally() and len(asked) == 2
