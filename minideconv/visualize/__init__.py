"""Pictures: boards of masks, charts as SVG, activations; and what a network's units look at."""

from minideconv.nn.inspection import activations
from minideconv.visualize.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    saliency,
)
from minideconv.visualize.boards import activation_picture, board, sample_row
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.layers import decoder_layers
from minideconv.visualize.masks import save_palette_png
from minideconv.visualize.projection import at_unit, forward_to, project
from minideconv.visualize.receptive_field import Box, receptive_field
from minideconv.visualize.relu_rules import RELU_RULES, relu_rule

__all__ = [
    "RELU_RULES",
    "Box",
    "Line",
    "activation_picture",
    "activations",
    "at_unit",
    "board",
    "decoder_layers",
    "forward_to",
    "grad_cam",
    "gradient_times_input",
    "integrated_gradients",
    "line_chart",
    "project",
    "receptive_field",
    "relu_rule",
    "saliency",
    "sample_row",
    "save_palette_png",
]
