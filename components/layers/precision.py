"""Convolutions in bfloat16 on processors that have it: three times as fast on those with AMX; weights stay float32."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

# What TensorFlow would compute in bfloat16 too where it stands beside convolutions: places, masks and losses are made
# of it, and need float32.
_STAY_FLOAT32 = (
    "Add,AddN,AddV2,Mul,Sub,RealDiv,Mean,Square,FloorDiv,Inv,InvGrad,Log,Log1p,LogSoftmax,Prod,Reciprocal,Sigmoid,SigmoidGrad,"
    "Softmax,Softplus,Softsign,Sqrt,SquaredDifference,Tanh,TanhGrad,Erf,Rsqrt,RsqrtGrad"
)
# SSIM averages by depthwise convolutions, and takes small differences of large averages.
_PRODUCTS_STAY_FLOAT32 = (
    "Einsum,BatchMatMul,BatchMatMulV2,MatMul,DepthwiseConv2dNative,DepthwiseConv2dNativeBackpropFilter,"
    "DepthwiseConv2dNativeBackpropInput"
)


@contextlib.contextmanager
def bfloat16(wanted: bool) -> Iterator[None]:
    """Has graphs that are built inside compute so, where it is `wanted`; those built afterwards do not."""
    os.environ["TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_INFERLIST_REMOVE"] = _STAY_FLOAT32
    os.environ["TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE"] = _PRODUCTS_STAY_FLOAT32
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": wanted})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False})
