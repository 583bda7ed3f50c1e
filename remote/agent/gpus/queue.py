"""The right of one job to GPUs: leased by file locks, first come first served, without a daemon.

A GPU is leased by the lock on its file (see remote.agent.gpus.holders). Who waits has a ticket (see
remote.agent.gpus.tickets), and only the first in line may lease. The order is strict: a later job never
overtakes an earlier one, even if it would fit, since a job for many GPUs would otherwise wait for
ever while small ones come and go.

Strangers, who know nothing of leases, are passed over: a GPU on which any process computes, or
whose memory is taken (all that shows of a stranger in a container), isn't free. A job that says how
much memory it needs may share a card with a stranger who leaves that much, never with another job.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Union

from remote.agent.gpus import lock_files, messages
from remote.agent.gpus import nvidia_smi as gpus
from remote.agent.gpus.holders import Holder, holders, lease_file
from remote.agent.gpus.lease import FRESH, Lease, lease
from remote.agent.gpus.nvidia_smi import Gpu
from remote.agent.gpus.tickets import Place, Waiting, waiting
from remote.errors import JobError

__all__ = ["Holder", "Lease", "Ticket", "Waiting", "holders", "lease", "waiting"]

#: Seconds between two looks of one who waits.
POLL = 0.3

#: How long nvidia-smi may fail before a job that waits gives up, in seconds.
PATIENCE = 60.0


class Ticket:
    """A job's wish for GPUs: `take` joins the line, `wait` leads to the lease, `close` gives up."""

    def __init__(self, folder: Path, wish: Waiting, cards: Sequence[Gpu]) -> None:
        self.folder = folder
        self.wish = wish
        self.cards = list(cards)
        self._place = Place(folder, wish) if wish.gpus else None
        self._held: Optional[Dict[str, Holder]] = None

    @classmethod
    def take(
        cls, folder: Path, *, job: str, submitted: float, gpus: int, memory: int, user: str
    ) -> Ticket:
        """Join the line at the place of the submission (seconds since 1970); `memory` is in MiB.

        Raises JobError where this machine can never satisfy the wish. A job for no GPU joins no
        line, and its lease is empty.
        """
        wish = Waiting(job, user[:64], max(gpus, 0), max(memory, 0), max(submitted, 0.0))
        cards = _suitable_machine(wish) if wish.gpus else []
        return cls(folder, wish, cards)

    def wait(self, say: Callable[[str], None], wanted: Callable[[], bool] = lambda: True) -> Lease:
        """The lease, as soon as it is our turn. `say` hears each new reason to wait.

        Raises JobError where `wanted` says no, or nvidia-smi keeps failing. However this ends, the
        ticket is gone.
        """
        if not self.wish.gpus:
            return Lease([], {}, ExitStack())
        if self._place is None:
            raise ValueError("this ticket was given up")
        try:
            found = self._wait(self._place, say, wanted)
        finally:
            self.close()
        found.watch_over()
        return found

    def close(self) -> None:
        """Leave the line. A second time does nothing."""
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _wait(self, place: Place, say: Callable[[str], None], wanted: Callable[[], bool]) -> Lease:
        patient = _Patient()
        said, touched = "", time.monotonic()
        while wanted():
            began = time.monotonic()
            found = patient.ask(lambda: self._attempt(place))
            if isinstance(found, Lease):
                return found
            if found != said:
                say(found)
                said = found
            if began - touched > FRESH:
                place.keep_fresh()
                touched = began
            # Where nvidia-smi takes long, it is asked less often.
            time.sleep(max(POLL, time.monotonic() - began))
        raise JobError("The job isn't wanted any more, so it got no GPU.")

    def _attempt(self, place: Place) -> Union[Lease, str]:
        """The lease, or why there is none yet."""
        if place.before():
            return messages.line(place.before())
        self._look()
        busy = {gpu.uuid: self._obstacle(gpu) for gpu in self.cards}
        free = [gpu for gpu in self.cards if not busy[gpu.uuid]]
        if len(free) >= self.wish.gpus:
            found = lease(self.folder, choose(free, self.wish))
            if found and not place.before():
                return found
            # An earlier job came while we chose.
            if found:
                found.release()
            return messages.line(1)
        return messages.missing(self.wish, self.cards, busy)

    def _look(self) -> None:
        """See who holds what; nvidia-smi is asked only where what it says can matter."""
        held = holders(self.folder)
        left = sum(gpu.uuid not in held for gpu in self.cards)
        if left >= self.wish.gpus or held != self._held:
            self.cards = gpus.read()
        self._held = held

    def _obstacle(self, gpu: Gpu) -> str:
        """Why we can't have this GPU now; empty where we can."""
        path = lease_file(self.folder, gpu.uuid)
        try:
            held = (self._held or {}).get(gpu.uuid)
            if held is None and lock_files.is_held(path):
                held = Holder()
        except FileNotFoundError:
            held = None
        except lock_files.RefusedError as error:
            return error.message.rstrip(".")
        return messages.holding(held) if held else messages.stranger(gpu, self.wish.memory)


def choose(free: Sequence[Gpu], wish: Waiting) -> List[Gpu]:
    """Which of the free GPUs: the first, or those that leave the largest free for others."""
    if wish.memory:
        free = sorted(free, key=lambda gpu: (gpu.memory_free, gpu.index))
    return sorted(free[: wish.gpus], key=lambda gpu: gpu.index)


class _Patient:
    """Asks again for a while where nvidia-smi fails: a driver can be busy for a moment."""

    def __init__(self) -> None:
        self._since: Optional[float] = None

    def ask(self, question: Callable[[], Union[Lease, str]]) -> Union[Lease, str]:
        try:
            answer = question()
        except JobError as error:
            now = time.monotonic()
            self._since = self._since or now
            if now - self._since > PATIENCE:
                raise
            return f"waiting: {error.message}"
        self._since = None
        return answer


def _suitable_machine(wish: Waiting) -> List[Gpu]:
    """All GPUs of a machine that can satisfy the wish some time; raises JobError for another."""
    cards = gpus.read()
    large = [gpu for gpu in cards if gpu.memory_total >= wish.memory]
    if len(large) >= wish.gpus:
        return cards
    raise JobError(
        f"The job asks for {messages.wanted(wish)}, which this machine never has.",
        messages.stock(cards),
    )
