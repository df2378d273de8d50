# SPDX-License-Identifier: MIT
"""Whether a SavedModel computes, or is a program: told from its file, before TensorFlow loads it.

A SavedModel may read and write files, run Python that its process has registered, and send what it
found over the network. One whose every operator is in a list that a classifier can need does not.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_vit.errors import UserError
from keras_vit.untrusted.reading import check_regular, read_bytes

_GRAPH_BYTES = 2**31 - 1  # the most that the format itself allows
_FILES = 10_000  # in the folder: weights are cut into a few hundred at the most
_NAMED = 5  # operators in a message

_STRUCTURE = """
    Assert Case Const ControlTrigger DisableCopyOnRead EnsureShape FakeParam GuaranteeConst Identity
    IdentityN If IsVariableInitialized NoOp PartitionedCall Placeholder PlaceholderV2
    PlaceholderWithDefault PreventGradient StatefulPartitionedCall StatelessCase StatelessIf
    StatelessWhile StopGradient VarHandleOp VarIsInitializedOp VariableShape While
    AssignVariableOp ReadVariableOp ResourceGather ResourceGatherNd
"""
_NUMBERS = """
    Abs Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2
    Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddV1 BitwiseAnd BitwiseOr BitwiseXor
    Bucketize Cast Ceil CheckNumerics ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod
    Cumsum CumulativeLogsumexp Div DivNoNan Einsum Equal Erf Erfc Erfinv EuclideanNorm Exp Expm1
    Floor FloorDiv FloorMod Greater GreaterEqual Imag Inv Invert IsFinite IsInf IsNan L2Loss
    LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max
    Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Pow Prod Range Real
    RealDiv Reciprocal RightShift Rint Round Rsqrt Sigmoid Sign Sin Sinh Sqrt Square
    SquaredDifference Sub Sum Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
"""
_ARRAYS = """
    BatchToSpace BatchToSpaceND Bincount Bitcast BroadcastArgs BroadcastTo Concat ConcatOffset
    ConcatV2 ConjugateTranspose DenseBincount DepthToSpace Diag DiagPart DynamicPartition
    DynamicStitch Empty ExpandDims Fill Gather GatherNd GatherV2 InvertPermutation ListDiff
    MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
    MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad NthElement OneHot OnesLike
    Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Rank Reshape Reverse ReverseSequence
    ReverseV2 Roll ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select
    SelectV2 Shape ShapeN Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze
    StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
    TensorScatterUpdate Tile TopK TopKV2 Transpose Unique UniqueV2 Unpack UnravelIndex
    UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound
    LowerBound Where ZerosLike
    EmptyTensorList TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
    TensorListResize TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
"""
_NETWORKS = """
    AvgPool AvgPool3D Conv Conv2D Conv3D DepthwiseConv2dNative Elu FusedBatchNorm FusedBatchNormV2
    FusedBatchNormV3 FusedPadConv2D LRN LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2
    MaxPoolWithArgmax Relu Relu6 Selu Softmax Softplus Softsign
    Conv2DBackpropInput Conv2DBackpropInputV2
    Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeV2 QuantizedMatMul UniformDequantize UniformQuantize UniformQuantizedDot
    UniformQuantizedDotHybrid UniformRequantize
    RandomStandardNormal RandomUniform StatelessRandomGetKeyCounter StatelessRandomGetAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformV2
"""
_IMAGES = """
    AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize DecodeAndCropJpeg DecodeBase64
    DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw DecodeWebP ExtractImagePatches
    ExtractJpegShape HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3 RGBToHSV
    ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
"""
# Labels, and the loop over a batch of image files: of data sets only those that are in memory.
_TEXT_AND_BATCHES = """
    AsString HashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2 AnonymousHashTable
    ReduceJoin RegexFullMatch RegexReplace StaticRegexFullMatch StaticRegexReplace StringFormat
    StringJoin StringLength StringLower StringStrip StringToNumber StringUpper Substr
    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement FinalizeDataset IgnoreErrorsDataset
    MapDataset OptionsDataset ParallelMapDatasetV2 PrefetchDataset RangeDataset RewriteDataset
    TakeDataset TensorDataset TensorSliceDataset ZipDataset
"""
OPERATORS = frozenset(
    " ".join([_STRUCTURE, _NUMBERS, _ARRAYS, _NETWORKS, _IMAGES, _TEXT_AND_BATCHES]).split()
)
# What `tf.saved_model.save` writes to save and restore variables. TensorFlow 2 reads them without
# these, so that they are harmless where nothing that can be called reaches them.
SAVERS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})


def check_saved_model(path: Path) -> None:
    """Raises a `UserError` unless nothing in a SavedModel can do more than compute.

    Refused are operators outside of `OPERATORS`, in the graph, in its functions and in what they
    call; files that a graph reads (assets); and models of TensorFlow 1, whose graph runs when it is
    loaded. Nothing of the model is run or loaded.

    Args:
        path: its folder.
    """
    _check_files(path)
    graph = _graph(path)
    objects = graph.object_graph_def
    if graph.asset_file_def or any(node.HasField("asset") for node in objects.nodes):
        raise _refusal(path, "reads files of its own (assets)")
    functions = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
    # A function may be called like an operator, but must not be named like one: no operator of
    # TensorFlow has a name that begins so, and every function of `tf.function` has.
    operators = OPERATORS | {name for name in functions if name.startswith("__")}
    called = _closure(objects.concrete_functions, functions)
    foreign = set(_foreign(graph.graph_def.node, operators | SAVERS))
    for name, nodes in functions.items():
        foreign.update(_foreign(nodes, operators if name in called else operators | SAVERS))
    if foreign:
        names = sorted(foreign)
        more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
        listed = ", ".join(names[:_NAMED])
        raise _refusal(path, f"has operators that no classifier needs: {listed}{more}")


def _check_files(path: Path) -> None:
    """Raises for anything but regular files: TensorFlow would wait for a pipe."""
    for count, file in enumerate(path.rglob("*")):
        if count == _FILES:
            raise UserError(f"{path}: expected a SavedModel, received more than {_FILES:,} files.")
        if file.is_symlink() or not file.is_dir():
            check_regular(file, 2**63, follow=False)


def _graph(path: Path):
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = path / "saved_model.pb"
    try:
        graphs = SavedModel.FromString(read_bytes(file, _GRAPH_BYTES, follow=False)).meta_graphs
    except DecodeError as error:
        raise UserError(f"{file}: is no SavedModel that can be read ({error}).") from None
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        raise _refusal(path, "is one of TensorFlow 1, whose graph runs when it is loaded")
    return graphs[0]


def _foreign(nodes: Iterable, allowed: frozenset | set) -> Iterator[str]:
    return (ascii(node.op)[1:-1][:60] for node in nodes if node.op not in allowed)


def _closure(roots: Iterable[str], functions: dict) -> set[str]:
    """The functions that calling one of `roots` may run."""
    found: set[str] = set()
    waiting = [name for name in roots if name in functions]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in _named_in(functions[name]) if other in functions]
    return found


def _named_in(nodes: Iterable) -> Iterator[str]:
    """Names of functions that operators call, are handed or are called like."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)
            yield value.s.decode("utf-8", "replace")  # some operators name them as text


def _refusal(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: {why}, and is not run. `keras-vit predict`, `evaluate` and `benchmark` run it "
        "with --unsafe, as a program of whoever made it."
    )
