"""Settings as TOML: whatever text a path is, the file is TOML that says the same when read."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.errors import SettingError, UsageError
from minideconv.settings.options import read_toml
from minideconv.training.config import TrainConfig, read_config

pytestmark = pytest.mark.cpu


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
@example("/data/\U0001f600")
@example('a"b\\c')
@example("a\nb\r\tc\0\x1b\x7f")
@example("'''\"\"\"")
@example("\u2028\x85é ")
def test_any_text_goes_out_and_comes_back(tmp_path_factory, text):
    config = TrainConfig(data="voc", data_root=text, train_split=text)
    written = config.to_toml()
    assert tomllib.loads(written)["data"]["data_root"] == text
    assert written.isascii()  # any terminal can show it
    path = tmp_path_factory.mktemp("toml") / "settings.toml"
    path.write_text(written, encoding="utf-8")
    assert TrainConfig(**read_config(path)) == config


@pytest.mark.parametrize("text", ["a\udcffb", "\ud83d", "\ude00\ud83d"])
def test_bytes_that_are_no_text_are_refused(text):
    with pytest.raises(SettingError) as caught:
        TrainConfig(data="voc", data_root=text)
    assert str(caught.value).startswith("data_root is '")
    assert "it must be text in UTF-8" in str(caught.value)
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("lr = " + "9" * 5000, "is not valid TOML"),
        ("lr = " + "[" * 5000, "is not valid TOML"),
        ("x = " + "{a=" * 3000, "is not valid TOML"),
        ("a." * 40_000 + "b = 1", "it has more than 2000 dots"),
        ('x = "\\ud83d\\ude00"', "is not valid TOML"),
        ("\ufeff" * 2 + "lr = 1", "is not valid TOML"),
        ("lr = 1\n" * (1 << 18), "longer than 1,048,576 bytes"),
        ("lr = 1\n[x]\nlr = 1", "lr is set twice"),
        ("lr = [1]", ""),
    ],
)
def test_hostile_toml_is_one_sentence(tmp_path, content, wrong):
    path = tmp_path / "settings.toml"
    path.write_text(content, encoding="utf-8")
    if not wrong:
        with pytest.raises(SettingError, match=r"lr is \[1\]; it must be a number"):
            TrainConfig(**read_config(path))
        return
    with pytest.raises(UsageError) as caught:
        read_toml(path)
    assert wrong in str(caught.value)
    assert len(str(caught.value)) < 500
