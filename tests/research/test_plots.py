"""Figures, and the message of a missing extra."""

from __future__ import annotations

import numpy as np
import pytest

from lib import plots
from lib.extras import need


def test_a_confusion_matrix_counts_by_truth_and_guess() -> None:
    figure = plots.confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), ("no", "yes"))
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == ["1", "1", "0", "1"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["no", "yes"]


def test_a_class_that_never_came_has_its_place() -> None:
    figure = plots.confusion_matrix(np.array([0, 2]), np.array([0, 2]), "abc")
    assert len(figure.axes[0].texts) == 9


def test_curves_begin_with_epoch_one() -> None:
    figure = plots.curves({"train": [3.0, 2.0, 1.0], "test": [3.0, 2.5, 2.0]})
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["train", "test"]
    assert lines[1].get_xdata().tolist() == [1, 2, 3] and lines[1].get_ydata()[-1] == 2.0


def test_a_missing_extra_is_told_with_both_commands() -> None:
    need("torch", "json")
    with pytest.raises(SystemExit) as told:
        need("torch", "json", "no_such_module")
    assert "needs no_such_module" in str(told.value)
    assert 'make install extras="torch"' in str(told.value) and "--extra torch" in str(told.value)
