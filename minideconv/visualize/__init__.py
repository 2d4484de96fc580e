"""Pictures: boards of masks, activation strips, charts as SVG; and what networks compute inside."""

from minideconv.nn.inspection import activations
from minideconv.visualize.boards import activation_picture, board, sample_row
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.masks import save_palette_png

__all__ = [
    "Line",
    "activation_picture",
    "activations",
    "board",
    "decoder_layers",
    "line_chart",
    "sample_row",
    "save_palette_png",
]
