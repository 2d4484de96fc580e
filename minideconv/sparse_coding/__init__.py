"""Convolutional sparse coding: images as sums of few stamped filters, ``A = conv_transpose2d``.

Start at `operators`, then `problem`, `fista` and `admm`, `dictionary` and `learning`. The command
is ``python -m minideconv.sparse_coding learn|code|denoise|inpaint FOLDER``.
"""

from minideconv.sparse_coding.admm import Admm
from minideconv.sparse_coding.coding import Coding, code
from minideconv.sparse_coding.dictionary import project, random_filters
from minideconv.sparse_coding.fista import Fista
from minideconv.sparse_coding.learning import BatchLearner, OnlineLearner
from minideconv.sparse_coding.operators import analysis, filter_gradient, synthesis
from minideconv.sparse_coding.orientation import coherence, oriented
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.restore import denoise, inpaint, psnr

__all__ = [
    "Admm",
    "BatchLearner",
    "Coding",
    "Fista",
    "OnlineLearner",
    "Problem",
    "analysis",
    "code",
    "coherence",
    "denoise",
    "filter_gradient",
    "inpaint",
    "oriented",
    "project",
    "psnr",
    "random_filters",
    "synthesis",
]
