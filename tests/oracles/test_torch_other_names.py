"""Names of PyTorch's that are not here: the error names what is, and what it names is there."""

from __future__ import annotations

import importlib
import re

import pytest

import minideconv as md
from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.autograd.other_names import DTYPES, FUNCTIONS, INSTEAD

pytestmark = pytest.mark.cpu

THEIRS = {
    "minideconv": "torch",
    "minideconv.nn": "torch.nn",
    "minideconv.functional": "torch.nn.functional",
    "minideconv.nn.init": "torch.nn.init",
    "minideconv.nn.utils": "torch.nn.utils",
    "minideconv.optim": "torch.optim",
    "minideconv.optim.lr_scheduler": "torch.optim.lr_scheduler",
}


def owner(name: str):
    things = {"Tensor": Tensor([1.0]), "Module": nn.Module()}
    return things.get(name) or importlib.import_module(name)


@pytest.mark.parametrize("table", INSTEAD)
def test_each_name_is_missing_and_has_its_sentence(table):
    for name, text in INSTEAD[table].items():
        assert not hasattr(owner(table), name), name
        with pytest.raises(AttributeError, match=re.escape(f"no attribute {name!r}: {text}")):
            getattr(owner(table), name)


@pytest.mark.parametrize("table", INSTEAD)
def test_each_name_is_one_of_pytorch(torch, table):
    there = {"Tensor": torch.Tensor, "Module": torch.nn.Module}.get(table)
    there = there or importlib.import_module(THEIRS[table])
    elsewhere = {
        "rnn",
        "prune",
        "distributed",
        "onnx",
        "register_module",
    }  # modules loaded when asked for
    for name in INSTEAD[table].keys() - elsewhere:
        assert hasattr(there, name), name


@pytest.mark.parametrize("table", INSTEAD)
def test_what_is_named_instead_is_there(table):
    for text in INSTEAD[table].values():
        for name in re.findall(r"\bminideconv(?:\.\w+)+", text):
            resolve(name)
        for start, thing in (("x", Tensor), ("nn", nn), ("F", F), ("net", nn.Module)):
            for name in re.findall(rf"\b{start}\.(\w+)", text):
                assert hasattr(thing, name), text


def resolve(path: str) -> object:
    thing: object = md
    for name in path.split(".")[1:]:
        try:
            thing = getattr(thing, name)
        except AttributeError:
            thing = importlib.import_module(f"{thing.__name__}.{name}")
    return thing


def test_other_names_have_the_usual_sentence():
    for thing, words in (
        (md, "module 'minideconv' has no attribute 'frobnicate'"),
        (nn, "module 'minideconv.nn' has no attribute 'frobnicate'"),
        (F, "module 'minideconv.functional' has no attribute 'frobnicate'"),
        (Tensor([1.0]), "'Tensor' object has no attribute 'frobnicate'"),
        (nn.Parameter([1.0]), "'Parameter' object has no attribute 'frobnicate'"),
        (nn.ReLU(), "ReLU has no attribute 'frobnicate'"),
    ):
        with pytest.raises(AttributeError, match=f"^{re.escape(words)}$"):
            _ = thing.frobnicate
    with pytest.raises(AttributeError, match=r"tensors have a method of that name: x.item\("):
        _ = md.item


def test_no_name_is_in_two_tables():
    here = set(md.__all__) | FUNCTIONS | DTYPES.keys()
    assert len(here) == len(set(md.__all__)) + len(FUNCTIONS) + len(DTYPES)
    assert not here & INSTEAD["minideconv"].keys()
