"""What `make coverage` prints."""

from __future__ import annotations

from scripts.coverage_by_folder import lines


def test_one_line_a_folder_and_the_whole_below() -> None:
    said = lines([("a/x.py", 10, 5), ("__init__.py", 0, 0), ("a/y.py", 30, 5), ("b/z.py", 60, 0)])
    assert said == [
        "remote/                              0 statements  100.0 %",
        "remote/a/                           40 statements   75.0 %",
        "remote/b/                           60 statements  100.0 %",
        "all                                100 statements   90.0 %",
    ]
