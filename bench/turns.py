"""Timing two things in turn, so that whatever drifts meanwhile drifts for both."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

#: A trial does its own timing, in seconds: what has to be put right around it isn't counted.
Trial = Callable[[], float]


@dataclass
class Side:
    """The trials of one side: seconds, or what else was measured."""

    trials: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.trials)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.trials), max(self.trials)


@dataclass
class Pairs:
    """Trials of both sides; the n-th of ours ran right before the n-th of theirs."""

    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios; a single trial of theirs pairs with each of ours."""
        theirs = self.theirs.trials
        if len(theirs) == 1:
            theirs = theirs * len(self.ours.trials)
        return statistics.median(a / b for a, b in zip(self.ours.trials, theirs, strict=True))


def alternate(ours: Trial, theirs: Trial, *, runs: int, warm_ups: int = 1) -> Pairs:
    """Ours, theirs, ours, theirs ...; the first `warm_ups` pairs are not counted."""
    pairs = Pairs()
    for number in range(warm_ups + runs):
        a, b = ours(), theirs()
        if number >= warm_ups:
            pairs.ours.trials.append(a)
            pairs.theirs.trials.append(b)
    return pairs


def around(ours: Trial, theirs: Trial, *, runs: int, warm_ups: int = 1) -> Pairs:
    """Ours before and after a single trial of theirs, which is too slow for more."""
    pairs = Pairs()
    for _ in range(warm_ups):
        ours()
    before = (runs + 1) // 2
    pairs.ours.trials += [ours() for _ in range(before)]
    pairs.theirs.trials.append(theirs())
    pairs.ours.trials += [ours() for _ in range(runs - before)]
    return pairs
