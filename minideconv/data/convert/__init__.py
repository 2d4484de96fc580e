"""What programs for labelling export, made into a folder in VOCdevkit's layout."""

from minideconv.data.convert.conversion import Converted, convert

__all__ = ["Converted", "convert"]
