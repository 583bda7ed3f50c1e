"""What a push sends, told by rsync itself: where it tells nothing, nothing is taken for sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import TransferError
from remote.transport import sent_names


def test_filters_that_rsync_can_not_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="rsync can't read its filters") as told:
        sent_names._sent(tmp_path, ["--filter=nonsense"])
    assert ".rsyncignore" in told.value.hint
