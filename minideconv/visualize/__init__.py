"""Pictures: figures with alt texts, boards of masks, charts, and what a network looks at."""

from minideconv.nn.inspection import activations
from minideconv.visualize.animation.files import animation_gif, animation_page
from minideconv.visualize.animation.frames import Frame, frames
from minideconv.visualize.animation.geometry import ARITHMETIC, Geometry, geometry
from minideconv.visualize.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    saliency,
)
from minideconv.visualize.boards import activation_picture, board, sample_row
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.figures.overlap import overlap_counts, overlap_grid, overlap_map
from minideconv.visualize.figures.picture import Picture, side_by_side
from minideconv.visualize.figures.save import save_picture
from minideconv.visualize.figures.show import figure_html, show
from minideconv.visualize.figures.stamps import single_stamps, stamps, zero_stuffing
from minideconv.visualize.figures.strips import feature_strip, mask_overlay, training_curves
from minideconv.visualize.figures.style import contrast, ink_on, tap_colour, use_style
from minideconv.visualize.figures.switch_map import switch_map
from minideconv.visualize.figures.tape import graph
from minideconv.visualize.figures.taps import (
    kernel_picture,
    lit_matrix,
    numbered_taps,
    tap_matrix,
    taps_picture,
)
from minideconv.visualize.layers import decoder_layers
from minideconv.visualize.masks import save_palette_png
from minideconv.visualize.projection import at_unit, forward_to, project
from minideconv.visualize.receptive_field import Box, receptive_field
from minideconv.visualize.relu_rules import RELU_RULES, relu_rule

__all__ = [
    "ARITHMETIC",
    "RELU_RULES",
    "Box",
    "Frame",
    "Geometry",
    "Line",
    "Picture",
    "activation_picture",
    "activations",
    "animation_gif",
    "animation_page",
    "at_unit",
    "board",
    "contrast",
    "decoder_layers",
    "feature_strip",
    "figure_html",
    "forward_to",
    "frames",
    "geometry",
    "grad_cam",
    "gradient_times_input",
    "graph",
    "ink_on",
    "integrated_gradients",
    "kernel_picture",
    "line_chart",
    "lit_matrix",
    "mask_overlay",
    "numbered_taps",
    "overlap_counts",
    "overlap_grid",
    "overlap_map",
    "project",
    "receptive_field",
    "relu_rule",
    "saliency",
    "sample_row",
    "save_palette_png",
    "save_picture",
    "show",
    "side_by_side",
    "single_stamps",
    "stamps",
    "switch_map",
    "tap_colour",
    "tap_matrix",
    "taps_picture",
    "training_curves",
    "use_style",
    "zero_stuffing",
]
