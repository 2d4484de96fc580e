"""What every kind of arrays keeps when a function over it is called with NumPy arrays."""

from __future__ import annotations

import numpy as np

from minideconv.testing.adapters import array_kind
from minideconv.testing.adapters.convert import over_numpy


def check_that_the_dtype_is_kept(kind, dtype):
    arrays = array_kind(kind)
    seen = []

    def function(x, where):
        seen.append(str(where["here"].dtype).split(".")[-1])
        return x

    x = np.arange(3.0, dtype=dtype)
    result = over_numpy(function, arrays)(x, {"here": x})
    assert isinstance(result, np.ndarray)
    index = dtype == "int32" and kind == "torch"  # PyTorch's indices
    assert result.dtype == ("int64" if index else dtype)
    assert seen == [str(result.dtype)]
    assert arrays.holds(arrays.lend(x))
    assert not arrays.holds([1.0])
