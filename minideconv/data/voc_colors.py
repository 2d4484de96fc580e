"""The 21 classes of PASCAL VOC's segmentation task and the colours its masks are shown in."""

from __future__ import annotations

import numpy as np

__all__ = ["VOC_CLASSES", "VOID", "colorize", "overlay", "voc_palette"]

VOID = 255
"""The label of pixels that belong to no class: borders and "difficult" objects. No metric counts
them, and no loss."""

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc_palette() -> np.ndarray:
    """Build VOC's colour map: (256, 3) uint8, row i is the RGB colour of index i.

    The bits of the index are dealt out to the three channels in turn, the lowest three bits to
    the channels' highest bit, so that neighbouring indices get very different colours.

    Examples
    --------
    >>> voc_palette()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (index >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette


def colorize(mask: np.ndarray, palette: np.ndarray | None = None) -> np.ndarray:
    """Show a mask in colours: (..., H, W) -> (..., H, W, 3) uint8.

    Parameters
    ----------
    mask : array of integers
    palette : (256, 3) uint8, optional
        The colour of each index; VOC's if left out, where 255 (void) is cream.

    Raises
    ------
    ValueError
        If the mask does not hold integers from 0 to 255.
    """
    mask = np.asarray(mask)
    if mask.dtype.kind not in "iub":
        raise ValueError(f"colorize: mask is {mask.dtype}; it must hold integer class indices")
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > 255):
        raise ValueError(
            f"colorize: mask holds values from {mask.min()} to {mask.max()};"
            " class indices and void lie in 0..255"
        )
    return (voc_palette() if palette is None else palette)[mask.astype(np.uint8)]


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    opacity: float = 0.55,
    palette: np.ndarray | None = None,
) -> np.ndarray:
    """Lay the mask's colours over the image (H, W, 3) uint8; index 0, background, stays as it is.

    `palette` is as in `colorize`.
    """
    colours = colorize(mask, palette).astype(np.float32)
    blend = (np.asarray(mask) != 0)[..., None] * np.float32(opacity)
    mixed = image.astype(np.float32) * (1 - blend) + colours * blend
    return np.rint(mixed).astype(np.uint8)
