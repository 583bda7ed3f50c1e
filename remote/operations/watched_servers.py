"""Targets that are looked at again and again, each by one call of its agent at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from remote.job.messages.overview import OverviewAnswer, OverviewRequest
from remote.operations.placement import gpus_request
from remote.operations.pool import Reply, as_they_come
from remote.session import TargetSession

#: One that didn't answer is asked again after so many looks.
RETRY = 15

#: How many ended jobs are told of, and how many points of a metric.
NEWEST, POINTS = 20, 40


@dataclass
class WatchedServers:
    """Targets, and what each of them said last, by its key."""

    servers: Sequence[TargetSession]
    replies: dict[str, Reply[OverviewAnswer]] = field(default_factory=dict)
    looks: int = 0
    _asked: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, on_reply: Callable[[], None], *, everybody: bool = False) -> None:
        """Ask, and note what comes, the first one first; ends with the last one.

        Those that an earlier look still waits for are left out, and so are those that didn't answer,
        unless `everybody` is asked. Nothing is asked of the user.
        """
        with self._lock:
            self.looks += 1
            asked = [server for server in self.servers if self._is_due(server.key, everybody)]
            self._asked.update(server.key for server in asked)
        try:
            for reply in as_they_come(asked, overview, silent=True):
                self.replies[reply.server.key] = reply
                self._asked.discard(reply.server.key)
                on_reply()
        finally:
            self._asked.difference_update(server.key for server in asked)

    def _is_due(self, key: str, everybody: bool) -> bool:
        reply = self.replies.get(key)
        is_silent = reply is not None and reply.error is not None
        return key not in self._asked and (everybody or not is_silent or self.looks % RETRY == 0)

    @property
    def is_asking(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._asked)


def overview(server: TargetSession) -> OverviewAnswer:
    """All that is shown of a target, by one call."""
    request = OverviewRequest(
        key=server.key, newest=NEWEST, gpus=gpus_request(server), points=POINTS
    )
    return server.agent.call(request)
