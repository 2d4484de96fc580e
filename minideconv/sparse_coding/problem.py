r"""`Problem`: which images are to be coded, and what counts as good.

    F(x) = 1/2 ||W (s - A x)||_H^2  +  lambda ||x||_1          ||r||_H^2 = <r, H r>

The mask W is 1 where a pixel is known and 0 where it is not. H is the identity, unless a smooth
part l of the image is to be found beside the maps: of

    min over l of  1/2 ||r - l||^2 + mu/2 ||grad l||^2   =   1/2 ||r||_H^2

the minimiser is known for every x, so l is no unknown of the search; H = I - (I + mu L)^{-1} takes
out of a residual what a smooth image explains. Without that, filters would be spent on light and
shade; the usual alternative, to subtract a smooth image beforehand, keeps noise that it has taken
for smooth.

Source: Wohlberg, "Efficient algorithms for convolutional sparse representations" (IEEE TIP 2016),
for the masked term; Wohlberg, "Convolutional sparse representations as an image model for impulse
noise restoration" (IVMSP 2016), for a smooth part with a penalty on its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minideconv.backend import Array, device_of, get_xp, to_device
from minideconv.sparse_coding.operators import check_filters, check_magnitude, synthesis
from minideconv.sparse_coding.spectrum import irfft2, rfft2, roughness

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """Images to be coded.

    Parameters
    ----------
    images : array (N, C, H, W)
        Floating point, finite, and not so large that sums of squares overflow.
    sparsity : float
        lambda, at least 0; in units of the images.
    mask : array, optional
        1 where a pixel is known and 0 where not; of the images' shape, or 1 along some axes.
    smoothness : float, optional
        mu, above 0, in pixels squared: a smooth part is found beside the maps.

    Raises
    ------
    ValueError, TypeError
        If an argument is not legal; one sentence.
    """

    images: Array
    sparsity: float
    mask: Array | None = None
    smoothness: float | None = None
    weight: Array | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        s, xp = self.images, get_xp(self.images)
        if s.ndim != 4 or 0 in s.shape:
            raise ValueError(
                f"sparse coding: images have shape {s.shape}; they must have 4 axes"
                " (images, channels, height, width), none of them empty"
            )
        if s.dtype.kind != "f" or s.dtype.itemsize not in (4, 8):
            raise TypeError(
                f"sparse coding: images have dtype {s.dtype}; it must be float32 or float64"
            )
        if not bool(xp.isfinite(s).all()):
            raise ValueError("sparse coding: the images hold NaN or infinity; all must be finite")
        check_magnitude("the images", s)
        if not 0 <= self.sparsity < float("inf"):
            raise ValueError(
                f"sparse coding: sparsity is {self.sparsity}; it must be a number of at least 0"
            )
        if self.mask is not None:
            self._check_mask(self.mask)
            object.__setattr__(self, "mask", self.mask.astype(s.dtype))
        if self.smoothness is not None:
            if not 0 < self.smoothness < float("inf"):
                raise ValueError(
                    f"sparse coding: smoothness is {self.smoothness}; it must be a number above 0"
                )
            weight = roughness(self.size, self.smoothness).astype(s.dtype)
            object.__setattr__(self, "weight", to_device(weight, device_of(s)))

    def _check_mask(self, mask: Array) -> None:
        xp, shape = get_xp(mask), self.images.shape
        fits = mask.ndim == 4 and all(m in (1, n) for m, n in zip(mask.shape, shape, strict=True))
        if not fits:
            raise ValueError(
                f"sparse coding: the mask has shape {mask.shape}; each axis must be that of the"
                f" images, {shape}, or 1"
            )
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("sparse coding: the mask must be 1 where a pixel is known, else 0")
        if not bool(xp.any(mask != 0)):
            raise ValueError("sparse coding: the mask knows no pixel at all")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        h, w = self.images.shape[2:]
        return h, w

    def check(self, filters: Array) -> None:
        """Refuse filters that do not fit the images.

        Raises
        ------
        ValueError, TypeError
            One sentence.
        """
        check_filters("sparse coding", filters, self.size)
        if filters.shape[1] != self.images.shape[1]:
            raise ValueError(
                f"sparse coding: filters of {filters.shape[1]} channels do not fit images of"
                f" {self.images.shape[1]}"
            )
        if filters.dtype != self.images.dtype:
            raise TypeError(
                f"sparse coding: filters are {filters.dtype} but images {self.images.dtype};"
                " convert one to the other"
            )
        check_magnitude("the filters", filters)

    def rough(self, residual: Array) -> Array:
        """Return H r: without what a smooth image explains; r itself if there is no smooth part."""
        if self.weight is None:
            return residual
        return irfft2(rfft2(residual) * self.weight, self.size)

    def reconstruction(self, filters: Array, maps: Array, hidden: Array | None = None) -> Array:
        """Return A x, and the smooth part l that belongs to it if there is one: (N, C, H, W).

        `hidden` is what ADMM found for pixels that are not known.
        """
        image = synthesis(maps, filters)
        if self.weight is None:
            return image
        residual = self.images - image
        if hidden is not None:
            residual -= hidden
        return image + (residual - self.rough(residual))

    def objective(self, filters: Array, maps: Array, hidden: Array | None = None) -> float:
        """Return F of the maps (N, M, H, W), summed over all images.

        `hidden` is what ADMM found for pixels that are not known; the mask counts if left out.
        """
        residual = synthesis(maps, filters)
        residual -= self.images
        if hidden is not None:
            residual += hidden
        elif self.mask is not None:
            residual *= self.mask
        fit = float((residual * self.rough(residual)).sum()) / 2
        return fit + self.sparsity * float(get_xp(maps).abs(maps).sum())
