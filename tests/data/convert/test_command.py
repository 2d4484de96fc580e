"""The command: what it refuses before it reads, how it draws lists, what it leaves behind."""

from __future__ import annotations

import errno
import json
import os
import shutil

import labelled_exports as made_up
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data import convert as public
from minideconv.data.__main__ import main
from minideconv.data.classes import read_classes
from minideconv.data.convert import conversion
from minideconv.data.convert.folder import plain_name
from minideconv.data.convert.splits import lists_of
from minideconv.errors import DataError


@pytest.fixture
def source(tmp_path):
    return made_up.labelme(tmp_path / "labelled", made_up.scenes(4))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--output", "out"], "nowhere: there is no such folder or file"),
        (["note.txt", "--output", "out"], "note.txt must be a folder, a zip archive or a JSON"),
        (["labelled", "--output", "there"], "--output there exists already; name a new folder"),
        (["labelled", "--output", "labelled"], "--output labelled exists already"),
        (["labelled", "--output", "labelled/out"], "--output labelled/out lies in labelled, which"),
        (["labelled", "--output", "there/../labelled/x"], "lies in labelled"),
        (["labelled", "--output", "dangling"], "--output dangling exists already"),
        (["there", "--output", "out"], "there has none of the formats that are known (labelme:"),
        (["there", "--output", "out"], "its files are 1 .txt; --from names a format"),
        (["labelled", "--output", "o", "--images", "x"], "--images x: there is no such folder"),
        (
            ["labelled", "--output", "o", "--void", "dgo"],
            "--void dgo: the source has no such label",
        ),
        (["labelled", "--output", "o", "--void", "dgo"], "its labels are leaf, stick, stone"),
        (
            ["labelled", "--output", "o", "--void", "leaf", "--classes", "leaf,stick,stone"],
            "--void leaf: --classes names it as a class; choose one",
        ),
        (["labelled", "--output", "o", "--classes", "a,,b"], "--classes: 'a,,b' names nothing"),
        (["labelled", "--output", "o", "--classes", "x.txt"], "--classes: x.txt is no file"),
        (["labelled", "--output", "o", "--from", "cvat"], "labelled holds no folder of masks"),
    ],
)
def test_wrong_usage(source, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    made_up.write(tmp_path / "there" / "a.txt", "x")
    made_up.write(tmp_path / "note.txt", "x")
    (tmp_path / "dangling").symlink_to("nothing")
    before = sorted(tmp_path.rglob("*"))
    assert main(["convert", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("option", "value"),
    [("--val-fraction", "1"), ("--val-fraction", "nan"), ("--seed", "-1"), ("--from", "voc"),
     ("--void", "a,,b")],
)  # fmt: skip
def test_values_that_cannot_be(source, capsys, option, value):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(source), "--output", "out", option, value])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(conversion, "write_mask", full)
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 1
    assert "out cannot be read or written: the disk is full" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_faults_come_before_labels_that_were_not_read(source, tmp_path, capsys):
    for path in sorted(source.glob("*.json"))[:3]:
        path.write_text("{")
    options = ["--output", str(tmp_path / "out"), "--void", "leaf"]
    assert main(["convert", str(source), *options]) == 1
    said = capsys.readouterr().err
    assert "3 faults in 3 files" in said
    assert "--void" not in said


def test_an_interrupt_leaves_nothing(source, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "write_lists", interrupted)
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 130
    assert list(tmp_path.iterdir()) == [source]


def test_the_same_again_is_the_same(source, tmp_path):
    for name in ("one", "two"):
        public.convert(source, tmp_path / name)
    contents = [
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*.*")}
        for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2 * 4 + 4


def test_a_pipe_in_the_folder_is_not_waited_for(source, tmp_path):
    os.mkfifo(source / "z.json")
    os.mkfifo(source / "z.jpg")
    made = public.convert(source, tmp_path / "out")
    assert sum(map(len, made.lists.values())) == 4


def relabelled(source, name):
    for path in source.glob("*.json"):
        path.write_text(path.read_text().replace('"leaf"', json.dumps(name)))


@pytest.mark.parametrize("name", ["#1", "a:1,2,3::"])
def test_a_name_that_is_something_else_in_a_list_of_classes(source, tmp_path, capsys, name):
    relabelled(source, name)
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 1
    assert f"the label {name!r} cannot be the name of a class" in capsys.readouterr().err
    made = public.convert(source, tmp_path / "out", void=[name])
    assert made.classes.names == ("background", "stick", "stone")


@pytest.mark.parametrize(
    "name", ["leaf of a tree", "Blatt №5", "1 2 3 4", "a #12", "葉", "a,b", "-", "name, r, g, b"]
)
def test_any_other_name_is_kept(source, tmp_path, name):
    relabelled(source, name)
    made = public.convert(source, tmp_path / "out")
    assert sorted(made.classes.names) == sorted(["background", "stick", "stone", name])
    assert read_classes(tmp_path / "out" / "classes.txt") == made.classes


def test_more_classes_than_a_mask_can_hold(source, tmp_path, capsys):
    path = source / "field 03.json"
    content = json.loads(path.read_text())
    content["shapes"] = [{"label": f"c{k}", "points": [[0, 0], [9, 0], [9, 9]]} for k in range(300)]
    path.write_text(json.dumps(content))
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 1
    assert "there are 304 classes; there must be 1 to 255" in capsys.readouterr().err


def test_nothing_to_learn(source, tmp_path, capsys):
    for path in source.glob("*.json"):
        if path.name != "field 03.json":  # the one without an object
            path.unlink()
            path.with_suffix(".jpg").unlink()
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 1
    assert "no photograph shows an object, so there is nothing to learn" in capsys.readouterr().err
    shutil.rmtree(source)
    source.mkdir()
    assert main(["convert", str(source), "--output", str(tmp_path / "out")]) == 2
    assert "its files are no file" in capsys.readouterr().err


@given(st.text(min_size=1, max_size=60).filter(lambda text: "/" not in text))
def test_a_plain_name_is_one_column_of_a_list_and_stays_itself(name):
    plain = plain_name(name)
    assert plain.split() == [plain]
    assert plain_name(plain) == plain
    assert not set(plain) & set("./\\,:;\"'#\0")


def test_a_name_that_is_too_long():
    with pytest.raises(DataError, match="more than 200 bytes"):
        plain_name("é" * 101)


@given(
    st.dictionaries(st.text(min_size=1), st.booleans(), min_size=2, max_size=30),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)
def test_both_lists_show_objects(shows, fraction, seed):
    count = sum(shows.values())
    if count < 2:
        with pytest.raises(DataError, match=f"only {count} photograph shows an object"):
            lists_of(dict.fromkeys(shows, ""), shows, fraction, seed)
        return
    lists = lists_of(dict.fromkeys(shows, ""), shows, fraction, seed)
    assert sorted(lists["train"] + lists["val"]) == sorted(shows)
    assert lists == lists_of(dict.fromkeys(shows, ""), shows, fraction, seed)
    for names in lists.values():
        assert any(shows[name] for name in names)
    assert abs(sum(shows[name] for name in lists["val"]) - fraction * count) <= 1


def test_another_seed_draws_other_photographs():
    shows = {f"{k}": True for k in range(40)}
    drawn = [tuple(lists_of(dict.fromkeys(shows, ""), shows, 0.2, seed)["val"]) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert [len(names) for names in drawn] == [8, 8]


def test_no_validation_list_where_none_is_wanted():
    lists = lists_of({"a": "", "b": "test"}, {"a": True, "b": True}, 0.0)
    assert lists == {"test": ["b"], "train": ["a"]}


def test_a_source_without_a_validation_list_gets_one():
    splits = {"a": "train", "b": "train", "c": "test", "d": ""}
    lists = lists_of(splits, dict.fromkeys(splits, True))
    assert lists["test"] == ["c"]
    assert len(lists["val"]) == 1
    assert sorted(lists["train"] + lists["val"]) == ["a", "b", "d"]
