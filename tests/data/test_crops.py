"""The crops of both stages, on masks made by hand and on generated scenes."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.data.objects import things_of
from minideconv.data.shapes import Shapes
from minideconv.data.voc import VOCSegmentation
from minideconv.data.windows import Window, square_window, whole_image_window
from minideconv.errors import DataError, UsageError


class Handmade:
    """Images given as class masks, with instance masks if any; a pixel's colour is its place."""

    def __init__(self, masks, instances=None, names=("background", "cat", "dog", "cow")) -> None:
        self.masks = [np.array(mask, dtype=np.uint8) for mask in masks]
        self.classes = list(names)
        if instances is not None:
            self.instances = lambda i: np.array(instances[i], dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index):
        mask = self.masks[index]
        rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.uint8)
        return np.stack([rows, columns, np.full_like(rows, 9)], axis=-1), mask

    def name(self, index) -> str:
        return f"made-{index}"


def scene() -> np.ndarray:
    """12 x 16: two cats, a dog against the left one, a void border, a speck of cow."""
    mask = np.zeros((12, 16), np.uint8)
    mask[2:8, 1:5] = 1  # cat, x 1..4, y 2..7
    mask[2:8, 5:7] = 2  # dog, x 5..6
    mask[6:11, 10:15] = 1  # cat, x 10..14, y 6..10
    mask[5, 10:15] = 255
    mask[0, 15] = 3
    return mask


def test_stage_one_keeps_the_class_of_the_object_and_nothing_else():
    crops = StageOneCrops(Handmade([scene()]), enlarge=1.5, min_area=0.02)
    assert len(crops) == 3
    by_box = {crop.thing.box: k for k, crop in enumerate(crops.crops)}
    assert set(by_box) == {Window(1, 2, 4, 7), Window(5, 2, 6, 7), Window(10, 6, 14, 10)}
    # The left cat: longer side 6, window 9 wide, centre (2.5, 4.5) -> x -2..6, y 0..8.
    k = by_box[Window(1, 2, 4, 7)]
    assert crops.crops[k].window == Window(-2, 0, 6, 8)
    image, mask = crops[k]
    want = np.zeros((9, 9), np.uint8)
    want[2:8, 3:7] = 1
    want[:, :2] = 255  # outside the image
    assert mask.tolist() == want.tolist()  # the dog is background
    assert (image[:, :2] == 0).all()
    assert (image[:, 2:, 1] == np.arange(7)).all()
    assert crops.name(k) == "made-0 [-2 0 6 8]"
    assert crops.classes == ["background", "cat", "dog", "cow"]
    # The dog: the cat beside it is background.
    _, mask = crops[by_box[Window(5, 2, 6, 7)]]
    assert set(np.unique(mask)) == {0, 2}
    # The right cat keeps its void border.
    _, mask = crops[by_box[Window(10, 6, 14, 10)]]
    assert (mask == 255).sum() == 5


def test_stage_one_on_instances_keeps_the_class_or_the_object():
    classes = np.zeros((6, 12), np.uint8)
    classes[1:5, 1:6] = classes[1:5, 6:11] = 2  # two dogs that touch
    numbers = classes.copy()
    numbers[1:5, 1:6], numbers[1:5, 6:11] = 1, 2
    touching = StageOneCrops(Handmade([classes]))
    assert [crop.thing.box for crop in touching.crops] == [Window(1, 1, 10, 4)]
    for keep, dogs in (("class", 2), ("object", 1)):
        crops = StageOneCrops(Handmade([classes], [numbers]), enlarge=2.0, keep=keep)
        assert [crop.thing.box for crop in crops.crops] == [Window(1, 1, 5, 4), Window(6, 1, 10, 4)]
        # The left dog's window is 10 wide, x -2..7: all of it and 2 columns of the other dog.
        assert crops.crops[0].window == Window(-2, -2, 7, 7)
        _, mask = crops[0]
        assert (mask == 2).sum() == 4 * 5 + (4 * 2 if dogs == 2 else 0)
        assert set(np.unique(mask)) == {0, 2, 255}


def test_specks_are_passed_over_by_area():
    for min_area, number in ((0.0, 4), (0.01, 3), (0.1, 2)):
        assert len(StageOneCrops(Handmade([scene()]), min_area=min_area)) == number


def test_class_of_an_instance_is_the_majority_of_its_pixels():
    classes = np.zeros((4, 8), np.uint8)
    classes[:, :4] = 1
    classes[0, 0] = 2  # a slip of the pen
    numbers = (classes > 0).astype(np.uint8)
    assert [thing.label for thing in things_of(Handmade([classes], [numbers]))[0]] == [1]


def test_background_and_void_have_no_vote_on_the_class_of_an_instance():
    classes = np.zeros((4, 8), np.uint8)
    classes[:, 0], classes[:, 1:3] = 3, 255
    numbers = np.ones((4, 8), np.uint8)  # one instance, drawn much too large
    assert [thing.label for thing in things_of(Handmade([classes], [numbers]))[0]] == [3]
    classes[:, 0] = 0
    assert things_of(Handmade([classes], [numbers])) == [[]]


def test_stage_one_balance_repeats_rare_classes():
    def mask_of(label):
        mask = np.zeros((10, 10), np.uint8)
        mask[2:8, 2:8] = label
        return mask

    dataset = Handmade([mask_of(label) for label in (1, 1, 1, 1, 2, 2, 3)])
    assert StageOneCrops(dataset).class_counts().tolist() == [0, 4, 2, 1]
    even = StageOneCrops(dataset, balance=1.0)
    assert even.class_counts().tolist() == [0, 4, 4, 4]
    assert even.distinct == 7
    assert len(even) == 12
    assert StageOneCrops(dataset, balance=0.5).class_counts().tolist() == [0, 4, 2, 2]


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.8])
def test_stage_two_windows_overlap_an_object_or_a_union_of_objects(iou):
    dataset = Shapes("train", length=30)
    crops = StageTwoCrops(dataset, per_image=6, iou=iou, whole_image=False, enlarge=1.0)
    assert len(crops) == 180
    for crop in crops.crops:
        boxes = [thing.box for thing in things_of(dataset)[crop.image]]
        targets = list(boxes)
        everything = boxes[0]
        for box in boxes[1:]:
            everything = everything.union(box)
        targets += [a.union(b) for a in boxes for b in boxes] + [everything]
        assert crop.window.width == crop.window.height
        # With enlarge 1, the window is the square around a proposal that met the IoU: some target
        # has a side within what that IoU allows of the window's.
        best = max(
            min(max(t.width, t.height), crop.window.width)
            / max(max(t.width, t.height), crop.window.width)
            for t in targets
        )
        assert best >= iou


def test_stage_two_keeps_all_classes_and_is_what_lies_in_the_window():
    dataset = Handmade([scene()])
    crops = StageTwoCrops(dataset, per_image=5, min_area=0.02)
    assert len(crops) == 6
    assert crops.crops[-1].window == whole_image_window(12, 16)
    assert crops.crops[-1].classes == (1, 2)
    image, mask = crops[5]
    assert image.shape == (16, 16, 3)
    assert (mask[2:14] == scene()).all()
    assert (mask[:2] == 255).all()
    assert (mask[14:] == 255).all()
    for k, crop in enumerate(crops.crops):
        image, mask = crops[k]
        inside = image[..., 2] == 9
        assert (mask[inside] == scene()[image[inside][:, 0], image[inside][:, 1]]).all()
        assert inside.sum() <= crop.window.area


def test_stage_two_windows_are_decided_by_the_seed_and_vary():
    dataset = Shapes("train", length=12)
    first, again, other = (StageTwoCrops(dataset, seed=s).crops for s in (4, 4, 5))
    assert first == again
    assert first != other
    drawn = [crop.window for crop in first if crop.window != Window(0, 0, 63, 63)]
    assert len(set(drawn)) > 0.9 * len(drawn)
    assert any(min(window.x1, window.y1) < 0 for window in drawn)
    # What is drawn for an image depends on that image alone.
    part = StageTwoCrops(Shapes("train", length=5), seed=4).crops
    assert part == first[: len(part)]


def test_stage_two_balance():
    dataset = Shapes("train", length=60)
    plain, even = (StageTwoCrops(dataset, balance=b).class_counts()[1:] for b in (0.0, 1.0))
    assert even.min() >= plain.max()


def test_images_without_objects_give_only_their_whole_window():
    dataset = Handmade([np.zeros((6, 9)), scene()])
    crops = StageTwoCrops(dataset, per_image=3)
    assert [crop.image for crop in crops.crops] == [0, 1, 1, 1, 1]
    assert {crop.image for crop in StageOneCrops(dataset).crops} == {1}


def test_the_data_set_is_read_once_for_both_stages():
    reads = []

    class Counted(Handmade):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    dataset = Counted([scene()] * 3)
    StageOneCrops(dataset)
    first = len(reads)
    StageOneCrops(dataset, balance=1.0)
    assert len(reads) == first
    assert first == 6  # the mask, and its regions, of each of three images


def test_messages():
    dataset = Handmade([scene()])
    with pytest.raises(DataError, match=r"StageOneCrops: .* shows no object that is large enough"):
        StageOneCrops(Handmade([np.zeros((5, 5))]))
    with pytest.raises(UsageError, match="keep is 'all'; it must be 'class' or 'object'"):
        StageOneCrops(dataset, keep="all")
    with pytest.raises(UsageError, match="per_image is 0; it must be at least 1"):
        StageTwoCrops(dataset, per_image=0, whole_image=False)
    with pytest.raises(UsageError, match=r"iou is 1; it must lie between 0 and 1"):
        StageTwoCrops(dataset, iou=1)


@pytest.mark.voc
def test_both_stages_on_real_photographs(voc_subset):
    dataset = VOCSegmentation(voc_subset, "train")
    one, two = StageOneCrops(dataset, balance=1.0), StageTwoCrops(dataset, per_image=2)
    assert (one.class_counts()[1:] > 0).all()
    assert (two.class_counts()[1:] > 0).all()
    for k in range(0, len(one), 41):
        crop, (image, mask) = one.crops[k], one[k]
        assert set(np.unique(mask)) <= {0, crop.thing.label, 255}
        assert (mask == crop.thing.label).sum() >= crop.thing.area
        assert image.shape == (crop.window.height, crop.window.width, 3)
        assert crop.window == square_window(crop.thing.box)
