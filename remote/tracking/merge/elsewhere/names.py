"""Experiments need names that the store can tell from each other."""

from __future__ import annotations

from remote.tracking.merge.merge_session import Session


def part_names(session: Session) -> None:
    """Where the store takes a name for that of another experiment, the source's is added.

    Names that are the same to the letter were seen to when the experiments were placed.
    """
    if session.ours.exact:
        return
    same = session.ours.same_name
    run = session.database.execute
    taken = run("SELECT experiment_id, name FROM main.experiments").fetchall()
    placed = run("SELECT ours, name FROM temp.placement ORDER BY theirs").fetchall()
    for identity, name in placed:
        free, number = name, 1
        while any(
            holder != identity and other != free and same(other) == same(free)
            for holder, other in taken
        ):
            free = f"{name} ({session.source}{f' {number}' if number > 1 else ''})"
            number += 1
        taken.append((identity, free))
        if free != name:
            run("UPDATE temp.placement SET name = ? WHERE ours = ?", (free, identity))
