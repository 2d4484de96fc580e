"""Animations of a convolution or a transposed convolution of any geometry."""
