"""Training mode or evaluation mode for a ``with`` block: `evaluating` and `in_mode`.

``module.train()`` and ``module.eval()`` set a module's own mode, which all threads see. Whoever
needs a network in evaluation mode for one call must not set it: another thread may be using the
same network, and setting the mode back afterwards loses those of modules inside that had their own.
So inside these blocks `Module.training` gives the block's mode, in the thread that entered it, and
no module is touched.
"""

from __future__ import annotations

from minideconv.backend.choice import Block, ContextValue

__all__ = ["evaluating", "forced_mode", "in_mode"]

_forced: ContextValue[bool | None] = ContextValue("minideconv's mode of modules", None)


def in_mode(training: bool) -> Block:
    """Return a ``with`` block in which every module is in training or in evaluation mode.

    It holds for this thread, whatever the modules' own modes are, and leaves those as they are. A
    block inside another one has the last word.

    Examples
    --------
    >>> from minideconv.nn import Dropout
    >>> layer = Dropout(0.5)
    >>> with in_mode(training=False):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    return _forced.using(training)


def evaluating() -> Block:
    """Return ``in_mode(training=False)``."""
    return in_mode(training=False)


def forced_mode() -> bool | None:
    """Return the mode of the block that this thread is in; None outside of all."""
    return _forced.get()
