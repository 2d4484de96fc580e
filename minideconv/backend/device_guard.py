"""The former place of `device_guard`: see `dispatch`."""

from minideconv.backend.dispatch import device_guard, on_device_of

__all__ = ["device_guard", "on_device_of"]
