"""What stands in a meta.yaml, as the value of a column."""

from __future__ import annotations

import pytest

from remote.tracking.filestore import yaml_values
from remote.tracking.filestore.scan import Unreadable


def test_a_number_out_of_the_databases_range_is_refused():
    for number in (2**63, -(2**63) - 1, float("inf"), float("nan"), "x", [1]):
        with pytest.raises(Unreadable):
            yaml_values.whole({"n": number}, "n")
    assert yaml_values.whole({"n": 2**63 - 1}, "n") == 2**63 - 1
