"""Small networks as values: layers whose shapes fit, with what each needs to be run.

A network is a list of layers; what one gives, the next takes. A pooling's switches may be used by
an unpooling behind it, as in DeconvNet.
"""

from __future__ import annotations

from dataclasses import dataclass

from minideconv.testing.drawing import Integer
from minideconv.testing.geometry import BatchNormGeometry, ConvGeometry, PoolGeometry

__all__ = ["Layer", "NetworkGeometry", "network_geometry"]

Shape4 = tuple[int, int, int, int]

KINDS = ("conv2d", "conv_transpose2d", "batch_norm", "relu", "max_pool2d", "max_unpool2d")


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    kind : str
        ``conv2d``, ``conv_transpose2d``, ``batch_norm``, ``relu``, ``max_pool2d`` or
        ``max_unpool2d``.
    in_shape, out_shape : tuple of int
        (N, C, H, W).
    geometry : ConvGeometry, PoolGeometry, BatchNormGeometry or None
        Of a transposed convolution, that of the convolution whose transpose it is; of an
        unpooling, that of its pooling.
    pool : int, optional
        Of an unpooling, the number of the layer whose switches it takes.
    """

    kind: str
    in_shape: Shape4
    out_shape: Shape4
    geometry: ConvGeometry | PoolGeometry | BatchNormGeometry | None = None
    pool: int | None = None

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of ``weight`` and ``bias``, if the layer has any."""
        if isinstance(self.geometry, ConvGeometry):
            return {"weight": self.geometry.w_shape, "bias": (self.out_shape[1],)}
        if isinstance(self.geometry, BatchNormGeometry):
            return {"weight": (self.in_shape[1],), "bias": (self.in_shape[1],)}
        return {}


@dataclass(frozen=True)
class NetworkGeometry:
    """Layers in order.

    Examples
    --------
    >>> pooled = PoolGeometry(1, 2, size=(4, 6), kernel=(2, 2))
    >>> network = NetworkGeometry(
    ...     (
    ...         Layer("max_pool2d", pooled.x_shape, pooled.y_shape, pooled),
    ...         Layer("max_unpool2d", pooled.y_shape, pooled.x_shape, pooled, pool=0),
    ...     )
    ... )
    >>> network.x_shape, network.y_shape
    ((1, 2, 4, 6), (1, 2, 4, 6))
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("NetworkGeometry: there is no layer")
        for number, layer in enumerate(self.layers):
            if layer.kind not in KINDS:
                raise ValueError(f"NetworkGeometry: no layer is called {layer.kind!r}")
            if number and layer.in_shape != self.layers[number - 1].out_shape:
                raise ValueError(
                    f"NetworkGeometry: layer {number} takes {layer.in_shape}, the one before it "
                    f"gives {self.layers[number - 1].out_shape}"
                )
            if layer.kind == "max_unpool2d":
                before = dict(enumerate(self.layers[:number]))
                if layer.pool not in before or before[layer.pool].out_shape != layer.in_shape:
                    raise ValueError(f"NetworkGeometry: layer {number} has no pooling of its shape")

    @property
    def x_shape(self) -> Shape4:
        """Shape of the input."""
        return self.layers[0].in_shape

    @property
    def y_shape(self) -> Shape4:
        """Shape of the output."""
        return self.layers[-1].out_shape

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all parameters by name: ``"0.weight"``, ``"0.bias"``, ..."""
        return {
            f"{number}.{name}": shape
            for number, layer in enumerate(self.layers)
            for name, shape in layer.parameters().items()
        }


def network_geometry(
    integer: Integer, *, max_layers: int = 5, max_channels: int = 3, max_size: int = 8
) -> NetworkGeometry:
    """Draw a `NetworkGeometry`; every layer fits what the one before it gives."""
    channels = integer(1, max_channels)
    shape: Shape4 = (integer(1, 2), channels, integer(2, max_size), integer(2, max_size))
    layers: list[Layer] = []
    for _ in range(integer(1, max_layers)):
        kinds = ["conv2d", "relu", "conv_transpose2d"]
        n, _, h, w = shape
        if n * h * w > 1:
            kinds.append("batch_norm")
        if min(h, w) > 1:
            kinds.append("max_pool2d")
        pools = [i for i, p in enumerate(layers) if p.kind == "max_pool2d" and p.out_shape == shape]
        if pools:
            kinds.append("max_unpool2d")
        kind = kinds[integer(0, len(kinds) - 1)]
        layers.append(_layer(integer, kind, shape, max_channels, layers, pools))
        shape = layers[-1].out_shape
    return NetworkGeometry(tuple(layers))


def _layer(
    integer: Integer,
    kind: str,
    shape: Shape4,
    max_channels: int,
    layers: list[Layer],
    pools: list[int],
) -> Layer:
    n, c, h, w = shape
    if kind == "relu":
        return Layer(kind, shape, shape)
    if kind == "batch_norm":
        return Layer(kind, shape, shape, BatchNormGeometry(n, c, (h, w)))
    if kind == "max_unpool2d":
        pool = pools[integer(0, len(pools) - 1)]
        return Layer(kind, shape, layers[pool].in_shape, layers[pool].geometry, pool)
    if kind == "max_pool2d":
        window = (integer(2, min(3, h)), integer(2, min(3, w)))
        pooling = PoolGeometry(n, c, (h, w), window, (2, 2))
        return Layer(kind, shape, pooling.y_shape, pooling)
    other = integer(1, max_channels)
    padding = (integer(0, 1), integer(0, 1))
    stride = (integer(1, 2), integer(1, 2))
    if kind == "conv2d":
        rows, columns = (
            integer(p + 1, max(p + 1, min(3, size + 2 * p)))
            for p, size in zip(padding, (h, w), strict=True)
        )
        conv = ConvGeometry(n, c, other, (h, w), (rows, columns), stride, padding)
        return Layer(kind, shape, conv.y_shape, conv)
    # Of the convolution whose transpose it is, (h, w) is the output.
    rows, columns = (integer(2 * p + 1, 3) for p in padding)
    rest = tuple(integer(0, s - 1) for s in stride)
    size = tuple(
        (m - 1) * s + k - 2 * p + r
        for m, s, k, p, r in zip((h, w), stride, (rows, columns), padding, rest, strict=True)
    )
    conv = ConvGeometry(n, other, c, (size[0], size[1]), (rows, columns), stride, padding)
    return Layer(kind, shape, conv.x_shape, conv)
