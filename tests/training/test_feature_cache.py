"""Features of a frozen trunk on disk: a cache changes the time of a run, and nothing else."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from stopped_runs import assert_same_run, run

from minideconv import Tensor, models, nn
from minideconv.errors import SettingError, TrainingError
from minideconv.files import slots
from minideconv.training import TrainConfig, Trainer
from minideconv.training.feature_cache import FeatureCache
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.cpu  # the cache is for runs on the host

NETWORKS = {
    "deconvnet": lambda: models.deconvnet(3, width=2, input_size=32, fc=4, fc_kernel=1),
    "fcn8s": lambda: models.fcn(8, num_classes=3, width=2, fc=4, fc_kernel=3, padding="same"),
}


def images(count=3, seed=0, size=32):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, size, size, 3)).astype(np.float32)
    return x.transpose(0, 3, 1, 2)  # as a loader gives them


@pytest.fixture(params=NETWORKS)
def network(request):
    net = NETWORKS[request.param]()
    for number, p in enumerate(net.parameters()):
        if not p.data.any():
            p.data[...] = np.random.default_rng(number).standard_normal(p.shape)
    return net


@pytest.fixture
def make():
    """`FeatureCache`, closed at the end of the test."""
    made = []

    def cache(*args, **options):
        made.append(FeatureCache(*args, **options))
        return made[-1]

    yield cache
    for one in made:
        one.close()


def frozen(network, stages):
    models.freeze(network, stages)
    return network.train()


def assert_equal(found, expected):
    assert (found.stages, found.size) == (expected.stages, expected.size)
    for one, other in zip(found.maps, expected.maps, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
        assert one.data.strides == other.data.strides
    for one, other in zip(found.switches, expected.switches, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)


@pytest.mark.parametrize("stages", [1, 3, 5])
def test_features_are_those_of_each_image_alone(make, network, stages, tmp_path):
    cache = make(frozen(network, stages), stages, tmp_path / "f", 10**8)
    x = images()
    for _ in range(2):  # computed, then read
        found = cache.features(x)
        for number in range(3):
            alone = network.encode(Tensor(x[number : number + 1]), stages)
            for one, other in zip(found.maps, alone.maps, strict=True):
                np.testing.assert_array_equal(one.numpy()[number], other.numpy()[0])
            for one, other in zip(found.switches, alone.switches, strict=True):
                np.testing.assert_array_equal(one.indices[number], other.indices[0])
    assert (cache.computed, cache.found) == (3, 3)
    # And so the network computes what it computes without a cache, but for rounding.
    network.eval()
    whole = network(Tensor(x)).numpy()
    np.testing.assert_allclose(network.decode(found).numpy(), whole, rtol=1e-4, atol=1e-4)


def test_an_image_is_known_by_its_numbers_in_any_batch_and_session(make, network, tmp_path):
    x = images(4)
    with_cache = make(frozen(network, 4), 4, tmp_path / "f", 10**8)
    first = with_cache.features(x)
    with_cache.close()
    again = make(network, 4, tmp_path / "f", 10**8)
    assert_equal(again.features(x[[0, 1, 2, 3]]), first)
    # The shapes are not known before the first image, which is computed; then all are there.
    assert (again.computed, again.found) == (1, 3)
    assert again.features(x[:1] + np.float32(1e-3)).maps[0].shape[0] == 1
    assert again.computed == 2


def test_a_full_file_keeps_no_more_and_changes_nothing(make, network, tmp_path):
    x = images(4)
    plenty = make(frozen(network, 5), 5, tmp_path / "a", 10**8)
    expected = plenty.features(x)
    one = (tmp_path / "a").stat().st_size // 4 + 200
    for budget, kept in ((one, 1), (10, 0)):
        little = make(network, 5, tmp_path / f"b{kept}", budget)
        for _ in range(2):
            assert_equal(little.features(x), expected)
        assert (little.computed, little.found) == (8 - kept, kept)
        path = tmp_path / f"b{kept}"
        assert (path.stat().st_size if path.exists() else 0) <= budget


def test_half_precision_rounds_what_is_computed_as_well(make, network, tmp_path):
    x = images(3)
    half = make(frozen(network, 5), 5, tmp_path / "a", 10**8, "float16")
    none = make(network, 5, tmp_path / "b", 10, "float16")
    full = make(network, 5, tmp_path / "c", 10**8)
    assert_equal(half.features(x), none.features(x))
    assert_equal(half.features(x), none.features(x))
    exact = full.features(x).maps[0].numpy()
    rounded = half.features(x).maps[0].numpy()
    np.testing.assert_array_equal(rounded, exact.astype(np.float16).astype(np.float32))
    assert not np.array_equal(rounded, exact)
    if not full.features(x).switches:
        assert (tmp_path / "a").stat().st_size < 0.6 * (tmp_path / "c").stat().st_size


def test_what_half_precision_cannot_hold_is_an_error(make, network, tmp_path):
    for block in models.stages_of(network)[0]:
        block.layer.bias.data[...] = 1e6
        if block.bn is not None:
            block.bn.bias.data[...] = 1e6
    cache = make(frozen(network, 1), 1, tmp_path / "f", 10**8, "float16")
    with pytest.raises(TrainingError, match=r"cache_dtype is float16, but a feature is .* float32"):
        cache.features(images())


@pytest.mark.parametrize("change", ["weights", "statistics", "stages", "algorithm"])
def test_what_is_not_of_these_weights_is_not_used(make, change, tmp_path):
    net = frozen(NETWORKS["deconvnet"](), 3)
    first = make(net, 3, tmp_path / "f", 10**8, about={"algorithm": "fast"})
    first.features(images())
    first.close()
    stages, about = 3, {"algorithm": "fast"}
    if change == "weights":
        net.conv3_2.layer.weight.data[0, 0, 0, 0] += 1e-3
    elif change == "statistics":
        net.conv1_1.bn.running_mean[0] += 1e-3
    elif change == "stages":
        stages = 2
    else:
        about = {"algorithm": "exact"}
    other = make(net, stages, tmp_path / "f", 10**8, about=about)
    found = other.features(images())
    assert (other.computed, other.found) == (3, 0)
    assert_equal(found, make(net, stages, tmp_path / "g", 10**8).features(images()))


def test_what_learns_does_not_invalidate_it(make, tmp_path):
    net = frozen(NETWORKS["deconvnet"](), 3)
    make(net, 3, tmp_path / "f", 10**8).features(images())
    net.conv4_1.layer.weight.data[...] += 1.0
    again = make(net, 3, tmp_path / "f", 10**8)
    again.features(images())
    assert again.found == 2


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "zeros", "another file"])
def test_a_damaged_file_costs_time_and_nothing_more(make, network, damage, tmp_path):
    x, path = images(4), tmp_path / "f"
    cache = make(frozen(network, 5), 5, path, 10**8)
    expected = cache.features(x)
    cache.close()
    content = bytearray(path.read_bytes())
    size = len(content)
    if damage == "cut":
        del content[size // 2 + 5 :]
    elif damage == "emptied":
        content.clear()
    elif damage == "flipped":
        for place in range(70, size, size // 9):
            content[place] ^= 0x10
    elif damage == "zeros":
        content[size // 3 :] = bytes(size - size // 3)
    else:
        content[:] = b"minideconv slots" + b"x" * 5000
    path.write_bytes(content)
    again = make(network, 5, path, 10**8)
    for _ in range(2):
        assert_equal(again.features(x), expected)
    assert again.computed > 1
    assert path.stat().st_size <= size + 10**6


def test_a_file_that_is_cut_off_while_it_is_in_use(make, network, tmp_path):
    x, path = images(3), tmp_path / "f"
    cache = make(frozen(network, 5), 5, path, 10**8)
    expected = cache.features(x)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert_equal(cache.features(x), expected)
    assert cache.computed > 3


def test_a_full_disk_ends_the_keeping_and_not_the_run(make, network, tmp_path, monkeypatch):
    cache = make(frozen(network, 5), 5, tmp_path / "f", 10**8)
    expected = make(network, 5, tmp_path / "g", 10**8).features(images())
    write, calls = slots._write, []

    def full(file, content):
        calls.append(content)
        if len(calls) > 3:  # header, and the first slot's two parts
            file.write(bytes(content)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, content)

    monkeypatch.setattr(slots, "_write", full)
    for _ in range(2):
        assert_equal(cache.features(images()), expected)
    assert (cache.computed, cache.found) == (5, 1)
    assert "the disk is full" in cache.summary()
    cache.close()
    monkeypatch.undo()
    again = make(network, 5, tmp_path / "f", 10**8)
    assert_equal(again.features(images()), expected)


def test_a_folder_that_cannot_be_written_to(make, network, tmp_path):
    cache = make(frozen(network, 5), 5, tmp_path / "no" / "f", 10**8)
    cache.features(images())
    assert "no more are kept: No such file" in cache.summary()


# -- In a run -----------------------------------------------------------------------------------


def settings(tiny, **more):
    """Two stages of DeconvNet, of which one is frozen; two views, three epochs in all."""
    return tiny | {"freeze": 1, "cache_features": "1MiB", "views": 2, "epochs": 3, "epochs_stage2": 1, **more}  # fmt: skip  # noqa: E501


def test_a_run_with_room_for_all_and_one_with_room_for_nothing_are_the_same(tiny, tmp_path):
    kept = run(tmp_path / "a", settings(tiny))
    anew = run(tmp_path / "b", settings(tiny, cache_features="100B"))
    one, two = (t.model.state_dict() for t in (kept, anew))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    logs = [(tmp_path / name / "log.txt").read_text() for name in "ab"]
    assert " 0 read, 0 kept" in logs[1]
    assert " 0 read" not in logs[0]
    assert not list(tmp_path.glob("*/features*")), "the files are removed when a run is done"


def test_a_run_without_the_cache_is_the_same_but_for_rounding(tiny, tmp_path):
    kept = run(tmp_path / "a", settings(tiny, epochs=1))
    plain = run(tmp_path / "b", settings(tiny, epochs=1, cache_features=None))
    one, two = (t.model.state_dict() for t in (kept, plain))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-4, err_msg=name)


STOPS = {
    "in the first epoch": {"stop_at": 1},
    "later": {"stop_at": 5},
    "in stage 2": {"stop_at": 16},
    "in a validation": {"in_validation": 2},
}


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("stop", STOPS)
def test_a_resumed_run_ends_with_the_same_bytes(tiny, tmp_path, stop, lost):
    chosen = settings(tiny, accumulate=2, workers=2, cache_dtype="float16", epochs_stage2=2)
    whole = run(tmp_path / "a", chosen)
    assert whole.progress.step > 16 > whole.plan.stages[0].steps_per_epoch * 3
    with pytest.raises(Interrupted):
        run(tmp_path / "b", chosen, **STOPS[stop])
    assert (tmp_path / "b" / "features.cache").is_file()
    if lost:
        (tmp_path / "b" / "features.cache").unlink()
    trainer = run(tmp_path / "b", {**chosen, "workers": 0}, resume=True)
    assert trainer.progress.step == whole.progress.step
    for path in (tmp_path / "b" / "checkpoints").iterdir():  # only `workers` may differ
        saved = load_checkpoint(path)
        saved.header["config"]["workers"] = 2
        save_checkpoint(path, saved)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b" / "features.cache").exists()


def test_behind_a_cache_the_trunk_is_computed_once_for_each_view(tiny, tmp_path):
    trainer = Trainer(TrainConfig(**settings(tiny, epochs=6, epochs_stage2=0, recalibrate=2)))
    calls = []
    trainer.model.conv1_1.register_forward_hook(
        lambda module, args, output: calls.append(module.layer.weight.requires_grad)
    )
    trainer.evaluate = lambda data, limit=0: (trainer.task.metrics(), 0.0)  # sees whole images
    trainer.fit()
    loader = trainer.plan.stages[0].loader
    assert 0 < len(calls) <= 2 * len(loader.dataset)
    assert trainer.progress.step == 6 * len(loader) > len(calls)


def test_views_are_the_same_crops_every_so_many_epochs(tiny):
    trainer = Trainer(TrainConfig(**settings(tiny, class_balance=0.0)))
    loader = trainer.plan.stages[0].loader
    seen = [{image.tobytes() for images, _ in loader for image in images} for _ in range(5)]
    everything = set().union(*seen)
    assert len(everything) <= 2 * len(loader.dataset)
    assert len(seen[0] & seen[2]) > 0
    assert not seen[0] & seen[1]


def test_without_a_run_folder_the_file_is_temporary(tiny):
    trainer = Trainer(TrainConfig(**settings(tiny, epochs=1, epochs_stage2=0)))
    folders = []
    trainer.steps.cache()
    folders.append(Path(trainer.steps._features.path).parent)
    trainer.fit()
    assert not folders[0].exists()


class Plain(nn.Module):
    """A network with VGG-16's first convolution, but no encode and decode."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1_1 = nn.Conv2d(3, num_classes, 1)

    def forward(self, x):
        return self.conv1_1(x)

    def config(self):
        return {"num_classes": 4}


def test_a_network_that_is_not_in_two_parts(tiny, own_networks):
    models.register("plain")(Plain)
    own = {k: v for k, v in settings(tiny).items() if k not in ("width", "fc", "depth", "fc_kernel")}  # fmt: skip  # noqa: E501
    with pytest.raises(SettingError, match="cache_features is not for plain, which is not comp"):
        Trainer(TrainConfig(**{**own, "model": "plain"}))


def test_settings(tiny):
    with pytest.raises(SettingError, match="cache_features keeps what frozen stages compute, but"):
        TrainConfig(cache_features="1GiB")
    with pytest.raises(SettingError, match="cache_features is lots; it must be a size such as"):
        TrainConfig(cache_features="lots", freeze=1)
    assert TrainConfig(cache_features="1GiB", freeze=1).views_in_use == 5
    assert TrainConfig().views_in_use == 0
    assert json.loads(json.dumps(TrainConfig(**settings(tiny)).to_dict()))["views"] == 2
