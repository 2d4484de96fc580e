"""The convolutions of a DeconvNet as shapes, read off the table in `models.deconvnet`."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.plans import Net
from minideconv.models.blocks import STAGES

__all__ = ["Layer", "distinct", "layers_of"]


@dataclass(frozen=True)
class Layer:
    """One convolution or transposed convolution (stride 1) and what it is applied to."""

    name: str
    transposed: bool
    c_in: int
    c_out: int
    size: int
    kernel: int
    padding: int
    batch: int

    @property
    def out_size(self) -> int:
        """The side of the result."""
        change = self.kernel - 1 - 2 * self.padding
        return self.size + change if self.transposed else self.size - change

    @property
    def geometry(self) -> tuple[object, ...]:
        """Everything but the name: layers that agree in it cost the same."""
        return tuple(value for key, value in vars(self).items() if key != "name")

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        """(N, C_in, H, W)."""
        return (self.batch, self.c_in, self.size, self.size)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """(N, C_out, H', W')."""
        return (self.batch, self.c_out, self.out_size, self.out_size)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """(C_out, C_in, k, k); the first two the other way round if transposed."""
        first, second = (self.c_in, self.c_out) if self.transposed else (self.c_out, self.c_in)
        return (first, second, self.kernel, self.kernel)

    @property
    def is_dense(self) -> bool:
        """Whether its small map is one pixel, so that it is a product of two matrices."""
        return (self.size if self.transposed else self.out_size) == 1

    @property
    def flop(self) -> int:
        """Multiplications and additions of the sum as it is written, borders included."""
        small = self.size if self.transposed else self.out_size
        return 2 * self.batch * self.c_in * self.c_out * (self.kernel * small) ** 2

    def __str__(self) -> str:
        kind = " transposed" if self.transposed else ""
        window, size = f"{self.kernel}x{self.kernel}", f"{self.size}x{self.size}"
        return f"{self.c_in} -> {self.c_out}, {window}{kind}, {size}, N={self.batch}"


def layers_of(net: Net) -> list[Layer]:
    """Return the layers in the order in which the network computes them."""
    found: list[Layer] = []
    size, channels = net.input_size, 3

    def add(name: str, transposed: bool, c_out: int, kernel: int, padding: int) -> None:
        nonlocal size, channels
        layer = Layer(name, transposed, channels, c_out, size, kernel, padding, net.batch)
        size, channels = layer.out_size, c_out
        found.append(layer)

    sizes = []
    for number, (convolutions, _) in enumerate(STAGES[: net.stages], 1):
        for i, multiple in enumerate(convolutions, 1):
            add(f"conv{number}_{i}", False, multiple * net.width, 3, 1)
        sizes.append(size)
        size //= 2
    features, window = channels, net.fc_kernel or size
    add("fc6", False, net.fc, window, 0)
    add("fc7", False, net.fc, 1, 0)
    add("fc6_deconv", True, features, window, 0)
    for number in range(net.stages, 0, -1):
        size = sizes[number - 1]
        for i, multiple in enumerate(STAGES[number - 1][1], 1):
            add(f"deconv{number}_{i}", True, multiple * net.width, 3, 1)
    add("seg_score", False, net.num_classes, 1, 0)
    return found


def distinct(layers: list[Layer]) -> list[tuple[Layer, list[str]]]:
    """Return one layer of each geometry, with the names of all that share it."""
    names: dict[tuple[object, ...], list[str]] = {}
    first: dict[tuple[object, ...], Layer] = {}
    for layer in layers:
        first.setdefault(layer.geometry, layer)
        names.setdefault(layer.geometry, []).append(layer.name)
    return [(layer, names[key]) for key, layer in first.items()]
