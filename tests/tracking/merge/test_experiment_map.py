"""Which experiment is which: as a plan, and in real stores."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from remote.job.messages.records import ExperimentLink as Link
from remote.tracking.merge.experiment_map import (
    Experiment,
    for_the_other_side,
    learn,
    plan_experiments,
)


def plan(theirs, ours=(), links=(), wanted=()):
    return plan_experiments(theirs, ours, links, source="far", wanted=frozenset(wanted))


def where(found):
    placements, _ = found
    return {theirs.id: (ours, name) for theirs, ours, name in placements}


def test_a_new_one_is_matched_by_name_else_made():
    ours = [Experiment(0, "Default", True, 1), Experiment(4, "digits", True, 2)]
    theirs = [Experiment(0, "Default", True, 7), Experiment(1, "digits", True, 8)]
    theirs.append(Experiment(2, "letters", True, 9))
    assert where(plan(theirs, ours)) == {0: (0, "Default"), 1: (4, "digits"), 2: (5, "letters")}


def test_an_id_that_a_link_names_is_not_given_again():
    links = [Link(1, 8, 9, 8, "old", "old")]
    found = plan([Experiment(2, "new", True, 5)], [Experiment(0, "Default", True, 1)], links)
    assert where(found) == {2: (10, "new")}


def test_a_store_made_anew_there_is_not_taken_for_the_old_one():
    """Id 1 was `digits`; now it is another experiment, with another time of creation."""
    ours = [Experiment(3, "digits", True, 8)]
    links = [Link(1, 8, 3, 8, "digits", "digits")]
    found = plan([Experiment(1, "letters", True, 99)], ours, links)
    assert where(found) == {1: (4, "letters")} and found[1] == []


def test_one_gone_here_comes_back_only_for_new_runs():
    links = [Link(1, 8, 3, 8, "digits", "digits")]
    theirs = [Experiment(1, "digits", True, 8)]
    assert where(plan(theirs, [], links)) == {}
    assert where(plan(theirs, [], links, wanted=[1])) == {1: (4, "digits")}


def test_a_rename_there_to_a_name_that_is_taken_here_is_a_conflict():
    ours = [Experiment(3, "digits", True, 8), Experiment(4, "letters", True, 9)]
    links = [Link(1, 8, 3, 8, "digits", "digits")]
    found = plan([Experiment(1, "letters", True, 8)], ours, links)
    assert where(found) == {1: (3, "digits")}
    ((table, key, column),) = [(c.table, c.key, c.column) for c in found[1]]
    assert (table, key, column) == ("experiments", "3", "name")


def test_a_name_that_a_rename_leaves_free_can_be_taken():
    ours = [Experiment(3, "digits", True, 8)]
    links = [Link(1, 8, 3, 8, "digits", "digits")]
    theirs = [Experiment(1, "old digits", True, 8), Experiment(2, "digits", True, 9)]
    assert where(plan(theirs, ours, links)) == {1: (3, "old digits"), 2: (4, "digits")}


names = st.sampled_from(["a", "b", "c", "a (far)"])


@st.composite
def stores(draw):
    unique = draw(st.lists(names, unique=True, max_size=4))
    ids = draw(st.permutations(range(len(unique))))
    return [Experiment(i, name, draw(st.booleans()), i % 2) for i, name in zip(ids, unique)]


links = st.lists(
    st.builds(Link, *[st.integers(0, 4)] * 4, names, names),
    max_size=4,
    unique_by=lambda link: link.theirs,
)


@given(stores(), stores(), links)
def test_names_and_ids_stay_unique_whatever_both_sides_did(theirs, ours, links):
    links = list({link.ours: link for link in links}.values())
    found, _ = plan(theirs, ours, links, wanted=range(9))
    assert {each.id for each, _, _ in found} == {each.id for each in theirs}
    used = [here for _, here, _ in found]
    assert len(used) == len(set(used))
    made = {name for _, here, name in found if here not in {each.id for each in ours}}
    kept = {each.name for each in ours if each.id not in used}
    assert not kept & made


def test_a_deleted_experiment_of_that_name_is_left_alone(world):
    mine = world.here.experiment("digits")
    world.here.client.delete_experiment(mine)
    run_id = world.far.run(world.far.experiment("digits"))
    summary = world.pull()
    assert world.here.client.get_experiment(mine).lifecycle_stage == "deleted"
    made = world.here.client.get_experiment_by_name("digits (far)")
    assert world.here.client.get_run(run_id).info.experiment_id == made.experiment_id
    assert (summary.new_experiments, summary.conflicts) == (1, ())

    world.far.client.rename_experiment("1", "letters")
    assert world.pull().conflicts == ()
    assert world.here.client.get_experiment_by_name("letters").experiment_id == made.experiment_id


def test_an_experiment_renamed_here_keeps_getting_its_runs(world):
    world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.client.rename_experiment("1", "numbers")
    second = world.far.run("1")
    assert world.pull().new_experiments == 0
    assert world.here.client.get_run(second).info.experiment_id == "1"
    assert world.here.client.get_experiment("1").name == "numbers"


def test_new_runs_of_a_pulled_experiment_that_was_deleted_here_are_named(world):
    there = world.far.experiment("digits")
    first = world.far.run(there)
    assert world.pull().binned == ()
    world.here.client.delete_experiment("1")
    world.far.log(first, range(3, 4))
    second = world.far.run(there)
    (binned,) = world.pull().binned
    assert (binned.run, binned.experiment, binned.experiment_id) == (second, "digits", 1)
    assert world.pull().binned == ()


def test_an_experiment_deleted_there_keeps_away_from_ours_of_that_name(world):
    world.here.experiment("digits")
    world.far.client.delete_experiment(world.far.experiment("digits"))
    world.pull()
    assert world.here.client.get_experiment("1").lifecycle_stage == "active"
    assert world.here.one("SELECT count(*) FROM experiments WHERE lifecycle_stage='deleted'") == 1


def test_new_runs_of_an_experiment_gone_here_bring_it_back(world):
    first = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.hard_delete(first)
    world.here.sql("DELETE FROM experiment_tags")
    world.here.sql("DELETE FROM experiments WHERE experiment_id = 1")
    assert world.pull().new_experiments == 0
    second = world.far.run("1")
    world.pull()
    assert world.here.sql("SELECT run_uuid, experiment_id FROM runs") == [(second, 2)]


def test_a_store_made_anew_there_is_merged_as_another(world):
    first = world.far.run(world.far.experiment("digits"))
    world.pull()
    anew = world.project("anew")
    second = anew.run(anew.experiment("letters"))
    world.far.store.write_bytes(anew.store.read_bytes())
    world.far.sql(
        "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)",
        str(anew.root),
        str(world.far.root),
    )
    world.pull()
    assert dict(world.here.sql("SELECT run_uuid, experiment_id FROM runs")) == {first: 1, second: 2}
    assert world.here.client.get_experiment("1").name == "digits"


def test_two_servers_with_the_same_experiment_and_other_ids(world):
    other = world.project("other")
    other.experiment("only there")
    runs = [world.far.run(world.far.experiment("digits")), other.run(other.experiment("digits"))]
    world.pull()
    world.pull(other)
    found = world.here.client.get_experiment_by_name("digits")
    assert {run.info.run_id for run in world.here.client.search_runs([found.experiment_id])} == {
        *runs
    }
    assert world.here.one("SELECT count(*) FROM experiments") == 3


def created(project, experiment):
    return project.one("SELECT creation_time FROM experiments WHERE experiment_id = ?", experiment)


def ends(link):
    return (link.theirs, link.theirs_created, link.ours, link.ours_created)


def test_what_one_side_knows_is_told_to_the_other(world):
    """So that what is pushed is not taken for another experiment, whatever each side calls it."""
    world.here.experiment("other")
    world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.client.rename_experiment("2", "numbers")

    told = for_the_other_side(world.base(), world.here.store)

    assert {link.last_name for link in told} == {"Default", "numbers"}
    (link,) = [link for link in told if link.last_name == "numbers"]
    assert ends(link) == (2, created(world.here, 2), 1, created(world.far, 1))
    base = world.far.root / "base.db"
    learn(base, world.far.store, told, source="here")
    back = for_the_other_side(base, world.far.store)
    assert sorted(link.last_name for link in back) == ["Default", "digits"]
    (mirrored,) = [link for link in back if link.last_name == "digits"]
    assert ends(mirrored) == (1, created(world.far, 1), 2, created(world.here, 2))


def test_what_is_learned_twice_keeps_the_name_that_was_seen_first(world):
    base, link = world.base(), Link(5, 50, 0, created(world.here, 0), "first")
    learn(base, world.here.store, [link], source="far")
    learn(base, world.here.store, [link.replace(last_name="second")], source="far")
    with closing(sqlite3.connect(base)) as database:
        found = database.execute("SELECT * FROM experiment_map").fetchall()
    assert found == [(*ends(link), "first")]
    learn(base, world.here.store, [link.replace(ours=7, last_name="anew")], source="far")
    with closing(sqlite3.connect(base)) as database:
        found = database.execute("SELECT ours, last_name FROM experiment_map").fetchall()
    assert found == [(7, "anew")]


def test_without_a_base_nothing_is_known_of_the_other_side(world):
    assert for_the_other_side(world.base(), world.here.store) == []


def test_an_experiment_without_a_number_or_a_name_is_refused(world):
    world.far.experiment("digits")
    summary = world.apply(
        world.forged("UPDATE experiments SET name = x'00' WHERE experiment_id = 1")
    )
    (refused,) = summary.refused
    assert (refused.kind, refused.id) == ("experiment", "1")
    assert summary.new_experiments == 0
