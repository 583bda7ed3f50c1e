"""The reader of meta.yaml against PyYAML: right about all that MLflow writes, and else it declines."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remote.tracking.filestore import layout
from remote.tracking.filestore.layout import Unreadable
from remote.tracking.filestore.yaml_mapping import parse_mapping, read_mapping, whole

DUMPERS = [dumper for dumper in (yaml.SafeDumper, getattr(yaml, "CSafeDumper", None)) if dumper]

#: Texts that YAML 1.1 would take for something else, were they not quoted, and their neighbours.
TRAPS = (
    "null ~ yes No on y = << true 2020-01-01 2020-1-1 1:30 12:30:45.6 0x1f 007 08 .5 +.5 1_0 1e5"
    " 1.5e3 1.5e+3 0e+4 .inf -.INF .nan 0b0101 --- ... - ? [] {} &a *a !x %x @x `x | > 'a' "
).split(" ")
TEXTS = st.one_of(
    st.sampled_from([*TRAPS, "a: b", "a #b", "- a", "? a", "a:", " a", "a ", "0b" + "01" * 15]),
    st.text(max_size=12).filter(lambda text: not set(text) & set("\x85\u2028\u2029")),
    st.text("ab \n'\"\\:#-\té?", max_size=14),
    st.text("a b'é:", max_size=300),
    st.text("0123456789abcdefx_.:-+eE", max_size=34),
    st.from_regex(r"\A[0-9a-f]{32}\Z"),
    st.from_regex(r"\A(file://)?(/[a-z0-9 _.%#:-]{0,6}){1,4}\Z"),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), TEXTS)
FIELDS = st.from_regex(r"\A[A-Za-z_][A-Za-z_.0-9]{0,8}\Z")
# MLflow refuses an empty name; one of several lines, or a long one, is written as no other key.
KEYS = TEXTS.filter(lambda text: text and not set(text) & set("\n\r") and len(text) < 60)
VALUES = st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS, max_size=3), st.builds(list))


def dumped(content: object, dumper: type, *, sort: bool = True) -> str:
    """As mlflow.utils.yaml_utils.write_yaml does."""
    return yaml.dump(
        content, default_flow_style=False, allow_unicode=True, sort_keys=sort, Dumper=dumper
    )


@pytest.mark.parametrize("dumper", DUMPERS)
@settings(deadline=None)
@given(content=st.dictionaries(FIELDS, VALUES, min_size=1), sort=st.booleans())
def test_what_mlflow_dumps_is_read_as_pyyaml_reads_it(dumper, content, sort):
    text = dumped(content, dumper, sort=sort)
    assert parse_mapping(text.encode()) == yaml.safe_load(text)


JUNK = st.text("ab:' \n-#[]{}&*!|>%0.1e/nulyo\t,?\"\\~é", max_size=40)


@given(JUNK.map(lambda text: text + "\n"))
@example("a:\n  b: 1\n  c:\n    d: x\ne: 2\n")
@example("a: \n")
@example("a: b: c\n")
@example("a: 'b' c\n")
@example("a:\n  b: 1\n   c: 2\n")
@example("a: 1\n  b: 2\n")
@example("a:\nb: 1\na:\n  c: 1\n")
@example("- a\n- b\n")
@example("a: |\n  b\n")
@example("--- a: 1\n")
@example("a: 'b\nc'\n")
@example('a: "b\\\n  c\\\n\n  d"\n')
def test_anything_else_is_read_as_pyyaml_reads_it_or_not_at_all(text):
    try:
        content = parse_mapping(text.encode())
    except Unreadable:
        return
    assert repr(content) == repr(yaml.safe_load(text))


def test_what_mlflow_can_write_into_a_meta_yaml_is_read():
    content = {
        "artifact_uri": "file:///home/ada/it's a 100%25 #1/mlruns/0/x/artifacts",
        "end_time": None,
        "experiment_id": "0",
        "name": "words " * 40 + "end",
        "quoted": "it's: " + "a long one, " * 20,
        "escaped": "tab\there, bell \x07, bom \ufeff " + "and so on " * 12,
        "note": "two\nlines\n\nand more\n",
        "date": "2020-01-01",
        "number": "1e5",
        "unicode": "Größe 📈 " * 30,
        "run_id": "0123456789" * 3 + "01",
        "start_time": 1_700_000_000_000,
        "tags": {"a": "b: c", "d": None, "k" * 100: "two\n\nlines, " * 30, "a b": "", "x: y": "1"},
        "none": {},
        "list": [],
    }
    for dumper in DUMPERS:
        assert parse_mapping(dumped(content, dumper).encode()) == content


@pytest.mark.parametrize(
    "text",
    [
        "a: &x b\nc: *x\n",
        "a: {b: c}\n",
        "a: [1, 2]\n",
        "a: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "a: 1 # b\n",
        "# a\nb: 1\n",
        "---\na: 1\n",
        "a: |\n  b\n",
        "a: 2020-01-01\n",
        "a: 0x1f\n",
        "a: 'no end\n",
        'a: "\\q"\n',
        'a: "\\U00110000"\n',
        "a: 1",
        "a: 1\n\nb: 2\n",
        "a:\n- b\n",
        "a:\n  b:\n    c: d\n",
        "a: b\u2028c\n",
        "? a\n: b\n",
        "1: a\n",
        "a: \x00\n",
        "just text\n",
        "".join(f"{' ' * level}a:\n" for level in range(200)),
        "a:\n" + "- " * 5_000 + "b\n",
    ],
)
def test_what_mlflow_does_not_write_is_refused(text):
    with pytest.raises(Unreadable):
        parse_mapping(text.encode())


def test_a_file_of_nothing_or_of_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "meta.yaml"
    path.write_text("a: 1\n")
    assert read_mapping(str(path)) == {"a": 1}
    path.write_text("\n")
    with pytest.raises(Unreadable, match="empty"):
        read_mapping(str(path))
    monkeypatch.setattr(layout, "LIMIT", 3)
    path.write_text("a: 1\n")
    with pytest.raises(Unreadable, match="more than 3 bytes"):
        read_mapping(str(path))


def test_a_number_out_of_the_databases_range_is_refused():
    for number in (2**63, -(2**63) - 1, float("inf"), float("nan"), "x", [1]):
        with pytest.raises(Unreadable):
            whole({"n": number}, "n")
    assert whole({"n": 2**63 - 1}, "n") == 2**63 - 1
