"""The one door for ONNX files, whoever reads them: an untrusted file -> its bytes, and what it says of itself.

Checked before any engine sees a byte: the size, the wire format, text that is text, no data in other files, and that
it is made of nothing but the operators below. An engine or a library is given the bytes that were checked, never the
path. Loop, Scan and If, and functions and subgraphs that could hold them, are not among the operators: every one of
these runs once, so no network runs for ever.
"""

from pathlib import Path

from darkroom.develop import onnxfile
from darkroom.develop.onnxfile import OnnxFile
from darkroom.errors import ModelError

LARGEST = 1 << 30
"""bytes; the networks of the papers have 1 to 60 MB, and protobuf itself ends at 2 GB."""

_APART = b"location"
"""The key by which ONNX names a file beside it: encoded in any way the network holds these bytes. Metadata may, too."""

_OPERATORS = frozenset(
    """
    Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
    ConvTranspose CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax LpNormalization MatMul Max MaxPool Mean Min Mish Mod Mul Neg NonMaxSuppression NonZero
    Not OneHot Or PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RoiAlign Round ScatterElements ScatterND Selu Shape
    Sigmoid Sign Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu
    Tile TopK Transpose Unsqueeze Upsample Where Xor
    """.split()
)
"""Operators of ONNX's own domain that our exporters, usual image networks and detectors write."""


def read(file: Path) -> tuple[bytes, OnnxFile]:
    """Read a network file whole and check all that can be without knowing what it is for.

    Raises ModelError: no such file, too large, not ONNX, data outside the file, an operator that is not allowed.
    """
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise ModelError(f"{file}: is no file; give the path of an .onnx file")
        data = b"" if size > LARGEST else file.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ModelError(f"{file}: {reason}; give the path of an .onnx file") from None
    if size > LARGEST:
        raise ModelError(f"{file}: {size / 1e6:.0f} MB, at most {LARGEST / 1e6:.0f} are read; give an image network")
    said = onnxfile.parse(data, str(file))
    told = sum(text.count(_APART) for key, value in said.metadata.items() for text in (key.encode(), value))
    if data.count(_APART) > told:
        raise ModelError(f"{file}: refers to data in another file, which is not allowed; export it as one file")
    odd = sorted(said.operators - _OPERATORS)
    if odd:
        raise ModelError(
            f"{file}: holds {', '.join(odd[:3])}, which darkroom does not run; export it as a plain graph of "
            "convolutions and the like"
        )
    return data, said
