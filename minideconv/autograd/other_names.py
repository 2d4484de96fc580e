"""Names that people know from PyTorch and that are not here: the error says what to write instead.

A module whose table is in `INSTEAD` ends with ``__getattr__ = refusing(__name__)``; `Tensor` and
`nn.Module` look their names up with `advice`. What is there is found without this file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

__all__ = ["DTYPES", "FUNCTIONS", "INSTEAD", "NoMethod", "advice", "refusing"]

DTYPES: dict[str, np.dtype[Any]] = {
    **{n: np.dtype(n) for n in ("float16", "float32", "float64", "int8", "int16", "int32")},
    **{n: np.dtype(n) for n in ("int64", "uint8", "bool")},
    "half": np.dtype("float16"), "float": np.dtype("float32"), "double": np.dtype("float64"),
    "short": np.dtype("int16"), "int": np.dtype("int32"), "long": np.dtype("int64"),
}  # fmt: skip
"""``minideconv.float32`` and the like: NumPy's types under PyTorch's names."""

FUNCTIONS = frozenset({
    "abs", "add", "all", "any", "argmax", "argmin", "bincount", "bmm", "broadcast_to", "chunk",
    "clamp", "clip", "clone", "cos", "cumsum", "diag", "div", "dot", "eq", "exp", "flatten", "flip",
    "gather", "ge", "gt", "le", "log", "lt", "masked_fill", "max", "mean", "min",
    "mm", "mul", "mv", "ne", "neg", "norm", "numel", "permute", "pow", "prod", "reshape", "round",
    "sin", "split", "sqrt", "squeeze", "std", "sub", "sum", "swapaxes", "t", "topk", "transpose",
    "unsqueeze", "var",
})  # fmt: skip
"""Methods of a tensor that are functions of the package too: ``minideconv.exp(x)``."""


_ABSENT = "it is not part of minideconv"
_WRITE = "it is not part of minideconv; an nn.Module of tensors' operations is"
_FLAT = "only images of two dimensions are here: the 2d layer with a length of 1"
_DEVICE = "net.to('auto') takes the GPU where there is one, minideconv.set_default_device for all"
_DATA = "datasets and loaders are in minideconv.data: DataLoader, Dataset, transforms"
_PRECISION = "minideconv.set_precision('bf16') computes products in another precision"
_SCHEDULES = (
    "StepLR, MultiStepLR, PolynomialLR, CosineAnnealingLR, ExponentialLR, LambdaLR, "
    "ReduceLROnPlateau and minideconv.optim.WarmUp are here"
)
_OPTIMISERS = "SGD, Adam, AdamW, RMSprop and Adagrad are here"

# Names, separated by spaces, and what to write instead of each of them.
_ROWS: dict[str, dict[str, str]] = {
    "minideconv": {
        "save": "a network's state is arrays: np.savez(path, **net.state_dict())",
        "load": "net.load_state_dict(dict(np.load(path))); minideconv.interop.read_weights(path) "
        "reads what PyTorch wrote",
        "cuda mps device": _DEVICE,
        "utils": f"{_DATA}; clip_grad_norm_ is in minideconv.nn.utils, "
        "checkpoint in minideconv.autograd",
        "amp autocast bfloat16": f"{_PRECISION}; minideconv.optim.GradScaler scales losses",
        "inference_mode": "minideconv.no_grad()",
        "as_tensor asarray FloatTensor DoubleTensor": "minideconv.Tensor(data, dtype='float32')",
        "LongTensor IntTensor BoolTensor ByteTensor": "minideconv.Tensor(data, dtype='int64')",
        "is_tensor": "isinstance(x, minideconv.Tensor)",
        "empty_like": "minideconv.zeros_like(x)",
        "set_default_dtype": "give each tensor its dtype, and net.to(dtype='float64')",
        "Generator": "np.random.default_rng(seed), given to a layer as rng",
        "backends": "minideconv.set_algorithm('exact') chooses how convolutions are computed",
        "use_deterministic_algorithms": "on a CPU every operation is deterministic",
        "set_num_threads": "minideconv.parallel.set_num_threads(n)",
        "compile jit": "there is nothing to compile: the engine chooses fast kernels by itself",
        "onnx": "minideconv.export.export_onnx(net, path, size)",
        "square": "x * x",
        "rsqrt": "x ** -0.5",
        "reciprocal": "1 / x",
        "floor": "x // 1",
        "ceil": "-(-x // 1)",
        "sign": "np.sign(x.numpy()), which has no gradient",
        "einsum": "permute, * and @",
        "outer": "x.unsqueeze(1) * y",
        "hstack vstack": "minideconv.cat(tensors, dim)",
        "unbind": "x[0], x[1] ...; a for loop over x gives the rows",
        "tile": "x.repeat(counts)",
        "index_select": "x[indices]",
        "logical_and logical_or logical_not": "&, | and ~ of arrays of bools",
        "isnan isinf isfinite isclose allclose": "NumPy's function of x: np.isnan(x)",
        "argsort nonzero unique": "NumPy's function of x.numpy()",
        "equal": "np.array_equal(a.numpy(), b.numpy())",
        "sort": "x.topk(x.size(-1)) is sorted, with its indices; np.sort(x.numpy())",
        "median quantile kthvalue": "np.median(x.numpy()), which has no gradient",
        "erf lgamma log2 log10 log1p expm1 tan asin acos atan sinh cosh logsumexp addmm "
        "baddbmm histc scatter roll rot90 tril triu meshgrid multinomial bernoulli normal cross "
        "cdist fft linalg sparse quantization": _ABSENT,
    },
    "minideconv.nn": {
        "LSTM LSTMCell GRU GRUCell RNN RNNCell": "nothing recurrent is part of minideconv",
        "Embedding EmbeddingBag Transformer TransformerEncoder TransformerEncoderLayer "
        "TransformerDecoder TransformerDecoderLayer MultiheadAttention": _ABSENT,
        "Conv1d ConvTranspose1d MaxPool1d AvgPool1d AdaptiveAvgPool1d InstanceNorm1d "
        "ReflectionPad1d ReplicationPad1d ZeroPad1d ConstantPad1d Conv3d ConvTranspose3d MaxPool3d "
        "AvgPool3d AdaptiveAvgPool3d BatchNorm3d InstanceNorm3d": _FLAT,
        "SiLU": "it is not part of minideconv; x * x.sigmoid() in a forward is",
        "Softplus": "minideconv.functional.softplus(x) in a forward",
        "ReLU6 Hardtanh": "x.clamp(min, max) in a forward",
        "LogSigmoid": "-minideconv.functional.softplus(-x) in a forward",
        "ELU SELU CELU GELU PReLU RReLU Mish Hardswish Hardsigmoid Softsign Tanhshrink Threshold "
        "GLU Bilinear CosineSimilarity PairwiseDistance": _WRITE,
        "Softmax2d": "nn.Softmax(1)",
        "UpsamplingBilinear2d": "nn.Upsample(mode='bilinear', align_corners=True)",
        "UpsamplingNearest2d": "nn.Upsample(mode='nearest')",
        "SyncBatchNorm": "nn.SyncBatchNorm2d(comm, channels)",
        "AdaptiveMaxPool2d LPPool2d FractionalMaxPool2d LocalResponseNorm RMSNorm CrossMapLRN2d "
        "Unfold Fold PixelUnshuffle ChannelShuffle": _ABSENT,
        "Unflatten": "x.reshape(shape) in a forward",
        "AlphaDropout FeatureAlphaDropout Dropout1d Dropout3d": "nn.Dropout or nn.Dropout2d",
        "ParameterList ParameterDict": "an attribute for each Parameter: setattr(self, name, p)",
        "DataParallel parallel": "mpiexec -n 2 python -m mpi4py -m minideconv.train",
        "SmoothL1Loss HuberLoss KLDivLoss CTCLoss GaussianNLLLoss PoissonNLLLoss SoftMarginLoss "
        "MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss MarginRankingLoss "
        "HingeEmbeddingLoss CosineEmbeddingLoss TripletMarginLoss": _WRITE,
        "NLLLoss2d": "nn.NLLLoss",
        "LazyConv2d LazyLinear LazyBatchNorm2d": "name the number of channels",
    },
    "minideconv.functional": {
        "normalize": "x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)",
        "upsample upsample_bilinear upsample_nearest": "F.interpolate",
        "silu": "x * x.sigmoid()",
        "relu6 hardtanh": "x.clamp(min, max)",
        "logsigmoid": "-F.softplus(-x)",
        "relu_ leaky_relu_": "F.relu(x), which writes nothing over",
        "elu selu celu gelu prelu rrelu mish hardswish hardsigmoid softsign threshold glu "
        "smooth_l1_loss huber_loss kl_div ctc_loss gaussian_nll_loss poisson_nll_loss "
        "cosine_similarity pairwise_distance triplet_margin_loss grid_sample affine_grid "
        "embedding scaled_dot_product_attention multi_head_attention_forward "
        "adaptive_max_pool2d lp_pool2d local_response_norm pixel_unshuffle gumbel_softmax": _ABSENT,
        "unfold fold": "minideconv.ops.im2col of arrays",
        "conv1d conv3d conv_transpose1d conv_transpose3d max_pool1d max_pool3d avg_pool1d "
        "avg_pool3d adaptive_avg_pool1d adaptive_avg_pool3d": _FLAT,
        "dropout1d dropout3d alpha_dropout": "F.dropout or F.dropout2d",
    },
    "minideconv.nn.init": {
        "orthogonal_ trunc_normal_ dirac_ eye_ sparse_": "it is not part of minideconv; "
        "w.copy_(array) in no_grad() fills a parameter",
    },
    "minideconv.nn.utils": {
        "spectral_norm weight_norm parametrizations parametrize prune rnn": _ABSENT,
        "clip_grad_norm": "nn.utils.clip_grad_norm_",
        "fuse_conv_bn_eval": "nn.fold_batch_norm_(net)",
        "parameters_to_vector": "minideconv.cat([p.reshape(-1) for p in net.parameters()])",
        "vector_to_parameters": "p.copy_(part) in no_grad(), for each parameter",
    },
    "minideconv.optim": {
        "Adadelta Adamax NAdam RAdam LBFGS ASGD Rprop SparseAdam Adafactor Muon": _OPTIMISERS,
        "swa_utils": "an average of weights: mean.mul_(0.9).add_(p, alpha=0.1) in no_grad()",
    },
    "minideconv.optim.lr_scheduler": {
        "OneCycleLR CyclicLR CosineAnnealingWarmRestarts LinearLR ConstantLR SequentialLR "
        "ChainedScheduler MultiplicativeLR": _SCHEDULES,
    },
    "Tensor": {
        "median quantile kthvalue": "np.median(x.numpy()), which has no gradient",
        "sort": "x.topk(x.size(-1)) is sorted, with its indices; np.sort(x.numpy())",
        "argsort nonzero unique": "NumPy's function of x.numpy()",
        "isnan isinf isfinite allclose isclose": "NumPy's function of x: np.isnan(x)",
        "equal": "np.array_equal(a.numpy(), b.numpy())",
        "amax": "x.max(axis=axis)",
        "amin": "x.min(axis=axis)",
        "square": "x * x",
        "rsqrt": "x ** -0.5",
        "reciprocal": "1 / x",
        "floor": "x // 1",
        "ceil": "-(-x // 1)",
        "sign": "np.sign(x.numpy()), which has no gradient",
        "tile": "x.repeat(counts)",
        "ravel": "x.flatten()",
        "unbind": "x[0], x[1] ...; a for loop over x gives the rows",
        "index_select": "x[indices]",
        "outer": "x.unsqueeze(1) * y",
        "type type_as": "x.to('float64'), x.to(other)",
        "new_zeros new_ones new_full new_empty new_tensor": "minideconv.zeros(size, dtype=x.dtype)",
        "is_cuda": "x.device.type == 'gpu'",
        "nelement": "x.numel()",
        "clamp_min clamp_max": "x.clamp(min=..., max=...)",
        "detach_": "x.detach()",
        "bfloat16": _PRECISION,
        "pin_memory share_memory_": "leave it out: arrays are moved as they are",
        "scatter_": "x[index] = value in no_grad(), or functional.one_hot(labels)",
        "squeeze_ unsqueeze_ relu_ sigmoid_": "the method without the _, whose result is new",
        "mT": "x.transpose(-2, -1)",
    },
    "Module": {
        "cuda": "net.to('gpu')",
        "cpu": "net.to('cpu')",
        "float": "net.to(dtype='float32')",
        "double": "net.to(dtype='float64')",
        "half": "net.to(dtype='float16')",
        "type": "net.to(dtype='float64')",
        "bfloat16": _PRECISION,
        "requires_grad_": "for p in net.parameters(): p.requires_grad_(False)",
        "add_module register_module": "setattr(self, name, module)",
        "register_parameter": "setattr(self, name, Parameter(array))",
        "get_buffer buffers": "net.named_buffers()",
        "register_full_backward_hook register_backward_hook": "y.register_hook(hook) of a tensor",
        "share_memory": "leave it out: threads share a network as it is",
        "compile": "there is nothing to compile: the engine chooses fast kernels by itself",
    },
}

INSTEAD = {
    owner: {name: text for names, text in rows.items() for name in names.split()}
    for owner, rows in _ROWS.items()
}
"""For each module, and for `Tensor` and `Module`: a name of PyTorch's, and what takes its place."""


def advice(owner: str, name: str) -> str:
    """Return what stands behind "has no attribute": what to write instead, if that is known."""
    instead = INSTEAD[owner].get(name)
    return f": {instead}" if instead else ""


def refusing(module: str) -> Callable[[str], NoReturn]:
    """Make the ``__getattr__`` of a module, by its name."""

    def missing(name: str) -> NoReturn:
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}{advice(module, name)}",
            name=name,
            obj=sys.modules.get(module),
        )

    return missing


class NoMethod:
    """Stands in `Tensor` under a name of PyTorch's that is not here, and says what to write.

    A ``__getattr__`` would serve all names at once, and make every other attribute slower to read.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tensor: Any, owner: type) -> NoReturn:
        hint = advice("Tensor", self.name)
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self.name!r}{hint}",
            name=self.name,
            obj=tensor,
        )
