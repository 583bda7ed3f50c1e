"""Pull records: fetch what changed in the stores of a target, one after the other, and merge it."""

from __future__ import annotations

import time
import zlib
from functools import partial
from pathlib import Path

from remote.errors import ProtocolError, StoreError, TargetError
from remote.files import read_json, write_json
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.operations.tracking.adopt_bases import adopt_bases
from remote.operations.tracking.artifact_limit import choose
from remote.operations.tracking.destination import Destination, destination, digest
from remote.operations.tracking.merge_records import Records, merge_delta, merging
from remote.operations.tracking.sweep_runs import update_sweeps
from remote.operations.transfers.room import check_room
from remote.output import Progress, size
from remote.session import TargetSession
from remote.tracking import merge
from remote.tracking.delta import refuse_strange, with_registry


class FetchedDelta:
    """A delta of a target's store: asked for, unpacked as it comes, and written whole.

    `bytes` are those that were sent; `answer` is what the agent says beside it, `moved` what was
    done because the target was moved. Raises TransferError where the disk here has no room for
    what the server announces, ProtocolError where that isn't what comes, and StoreError where it is
    no delta as the agent writes them.
    """

    def __init__(self, server: TargetSession, request: DeltaRequest, file: Path) -> None:
        self.file, self.bytes, self._left = file, 0, 0
        self._unpacker = zlib.decompressobj() if request.compress else None
        with Progress("fetching records") as self._progress, open(file, "wb") as self._out:
            self.answer = server.agent.call(request, on_answer=self._expect, on_blob=self._take)
        if self._left:
            raise ProtocolError(f"The server's records are {self._left} bytes short.")
        if not self.answer.empty:
            refuse_strange(file)
        self.moved = self.answer.moved

    def _expect(self, answer: DeltaAnswer) -> None:
        self._left = answer.size
        check_room(self.file.parent, answer.size, "of records")

    def _take(self, piece: bytes) -> None:
        self.bytes += len(piece)
        self._progress.amount(size(self.bytes))
        part = self._unpacked(piece) if self._unpacker else piece
        self._left -= len(part)
        if self._left < 0:
            raise ProtocolError("The server sends more records than it announced.")
        self._out.write(part)

    def _unpacked(self, piece: bytes) -> bytes:
        assert self._unpacker
        try:
            # A few bytes may unpack to any number: no more than are expected, and one.
            return self._unpacker.decompress(piece, self._left + 1)
        except zlib.error:
            raise ProtocolError("The server's records can't be unpacked.") from None


def pull_records(
    server: TargetSession, *, registry: bool = False, dry_run: bool = False, theirs: bool = False
) -> Records:
    """Merge what is new in a target's stores, and fetch the artifacts of what changed."""
    server.connect()
    with merging(server.project) as folder:
        delta = ask(server, folder, registry=registry)
        return merge_all(server, delta, folder, registry=registry, dry_run=dry_run, theirs=theirs)


def ask(
    server: TargetSession,
    folder: Path,
    *,
    store: str = "",
    registry: bool = False,
    outputs: tuple[str, ...] = (),
    marked: tuple[str, ...] = (),
) -> FetchedDelta:
    """Have the agent write what changed in a store of the target; its own where none is named."""
    to, file = destination(server.project), folder / f"{digest(store)}.db"
    base = to.base(source_name(server, store))

    def fetched() -> FetchedDelta:
        request = DeltaRequest(
            key=server.key,
            known=merge.pull_state(base, store=to.location),
            store=store,
            registry=registry,
            compress=server.ssh is not None,
            outputs=outputs,
            marked=marked,
        )
        return FetchedDelta(server, request, file)

    try:
        delta = fetched()
    except TargetError:
        # The link to a target that others made may be all that is missing; `look` tells the rest.
        server.look()
        delta = fetched()
    if store or delta.answer.empty or base.exists():
        return delta
    if adopt_bases(server, to, file, delta.answer.root):
        # What was pulled while the target had another name tells what is new.
        moved, delta = delta.moved, fetched()
        delta.moved = moved or delta.moved
    return delta


def source_name(server: TargetSession, store: str = "") -> str:
    """What the files about a store of the target are called."""
    return f"{server.key}.{digest(store)}" if store else server.key


def merge_all(
    server: TargetSession,
    own: FetchedDelta,
    folder: Path,
    *,
    registry: bool = False,
    dry_run: bool = False,
    theirs: bool = False,
) -> Records:
    """Merge the delta of the target's own store, and those of the others that it has."""
    start = time.monotonic()
    to, records = destination(server.project), Records()
    file = server.project.state / "targets" / f"{server.key}.stores.json"
    before, names = read_json(file) or [], [*own.answer.others, *own.answer.outside]
    records.unreadable += [own.answer.fault] if own.answer.fault else []
    for store in ["", *own.answer.others]:
        try:
            mark = with_registry(own.answer.others.get(store), registry)
            if mark and _is_here(to, source_name(server, store), mark):
                continue
            delta = ask(server, folder, store=store, registry=registry) if store else own
        except StoreError as error:
            records.unreadable.append(str(error))
            continue
        records.bytes += delta.bytes
        if not delta.answer.empty:
            summary = merge_delta(
                delta.file,
                to,
                records,
                name=source_name(server, store),
                source=f"{server.source}/{store}" if store else server.source,
                remote=server.remote,
                dry_run=dry_run,
                theirs=theirs,
                choose=partial(choose, server),
            )
            records.withholding += [store] if summary.refused else []
    records.moved = own.moved
    records.outside = [place for place in own.answer.outside if place not in before]
    if names != before and not dry_run:
        write_json(file, names)
    if not dry_run and to.location.exists():
        records.problems += update_sweeps(server.project, to.location)
    records.seconds = time.monotonic() - start
    return records


def _is_here(to: Destination, source: str, mark: str) -> bool:
    """Whether a store has the mark that it had when all of it came, its artifacts included."""
    known = merge.pull_state(to.base(source), store=to.location).get("mark")
    return known == mark and not merge.unfetched(to.base(source))
