"""Operations of graph models, run with ONNX Runtime against numpy."""

import numpy as np
import pytest

from tensorflow_reference import convolve, resize_bilinear, window_starts
from tfjs_graphs import graph_model, node, placeholder, run_emission
from tritonpose_server.models.open_models.tfjs.graph_model import UnsupportedOpError

TO_NCHW = np.array([0, 3, 1, 2], np.int32)
TO_NHWC = np.array([0, 2, 3, 1], np.int32)
PADDINGS = np.array([[0, 0], [1, 2], [0, 3], [0, 1]], np.int32)


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(directory, nodes, weights, x, tensors=("y",)):
    model = graph_model(directory, [placeholder("x", *x.shape), *nodes], weights)
    return run_emission(model, list(tensors), x)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "dilations", "padding"),
    [
        ((6, 8), (3, 3), (1, 1), (1, 1), "SAME"),
        ((6, 8), (3, 3), (2, 2), (1, 1), "SAME"),
        ((7, 9), (3, 3), (2, 2), (1, 1), "SAME"),
        ((7, 8), (5, 2), (2, 3), (1, 1), "SAME"),
        ((9, 8), (3, 3), (1, 1), (2, 3), "SAME"),
        ((5, 6), (1, 1), (2, 2), (1, 1), "SAME"),
        ((7, 8), (3, 3), (1, 1), (1, 1), "VALID"),
        ((8, 7), (3, 2), (2, 2), (1, 1), "VALID"),
        ((9, 8), (3, 3), (2, 1), (2, 2), "VALID"),
    ],
)
def test_convolution(tmp_path, size, kernel, strides, dilations, padding, depthwise):
    x, weights = values(2, *size, 3), values(*kernel, 3, 2, seed=1)
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    attributes = {"strides": (1, *strides, 1), "dilations": (1, *dilations, 1), "padding": padding}
    (y,) = run(tmp_path, [node("y", op, "x", "w", **attributes)], {"w": weights}, x)
    expected = convolve(x, weights, strides, dilations, padding, depthwise)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "depthwise"), [("_FusedConv2D", False), ("FusedDepthwiseConv2dNative", True)]
)
@pytest.mark.parametrize(
    ("fused", "activation"),
    [
        ((), lambda x: x),
        (("BiasAdd",), lambda x: x),
        (("BiasAdd", "Relu"), lambda x: np.maximum(x, 0)),
        (("BiasAdd", "Relu6"), lambda x: np.clip(x, 0, 6)),
    ],
)
def test_fused_convolution(tmp_path, op, depthwise, fused, activation):
    x, weights = values(2, 5, 4, 3), 4 * values(3, 3, 3, 2, seed=1)
    bias = values(6 if depthwise else 2, seed=2)
    inputs = ("x", "w", "b") if fused else ("x", "w")
    attributes = {"strides": (1, 1, 1, 1), "padding": "SAME", "fused_ops": fused}
    nodes = [node("y", op, *inputs, **attributes)]
    (y,) = run(tmp_path, nodes, {"w": weights, "b": bias}, x)
    plain = convolve(x, weights, (1, 1), (1, 1), "SAME", depthwise)
    assert plain.max() > 6 > 0 > plain.min()
    np.testing.assert_allclose(y, activation(plain + bias if fused else plain), atol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        ((6, 7), (3, 3), (2, 2), "SAME"),
        ((7, 6), (3, 3), (2, 2), "VALID"),
        ((6, 6), (2, 3), (1, 2), "SAME"),
    ],
)
def test_max_pool(tmp_path, size, kernel, strides, padding):
    x = values(2, *size, 3) - 5.0
    attributes = {"ksize": (1, *kernel, 1), "strides": (1, *strides, 1), "padding": padding}
    (y,) = run(tmp_path, [node("y", "MaxPool", "x", **attributes)], {}, x)
    padded, (rows, columns) = window_starts(x, kernel, strides, padding, -np.inf)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = padded[:, row : row + kernel[0], column : column + kernel[1]]
            np.testing.assert_array_equal(y[:, i, j], window.max(axis=(1, 2)))
    assert y.shape[1:3] == (len(rows), len(columns))


def leaky(x):
    return np.where(x > 0, x, x * np.float32(0.2))


@pytest.mark.parametrize("alpha", [0.1, None])
def test_leaky_relu(tmp_path, alpha):
    x = 5 * values(2, 3, 4, 2)
    attributes = {} if alpha is None else {"alpha": alpha}
    (y,) = run(tmp_path, [node("y", "LeakyRelu", "x", **attributes)], {}, x)
    np.testing.assert_allclose(y, np.where(x > 0, x, x * (alpha or 0.2)), atol=1e-5)


@pytest.mark.parametrize("op", ["Add", "AddV2"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (2, 3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("constant_first", [False, True])
def test_add_of_a_constant(tmp_path, op, shape, constant_first):
    x, constant = values(2, 2, 3, 4), np.asarray(values(*shape, seed=1))
    names = ("c", "x") if constant_first else ("x", "c")
    (y,) = run(tmp_path, [node("y", op, *names)], {"c": constant}, x)
    np.testing.assert_array_equal(y, x + constant)


def test_add_of_two_feature_maps(tmp_path):
    x = values(2, 2, 3, 4)
    pool = node("p", "MaxPool", "x", ksize=(1, 2, 3, 1), strides=(1, 1, 1, 1), padding="VALID")
    (y,) = run(tmp_path, [pool, node("y", "Add", "p", "x")], {}, x)
    np.testing.assert_array_equal(y, x.max(axis=(1, 2), keepdims=True) + x)


@pytest.mark.parametrize(
    ("op", "weight", "expected"),
    [
        ("Add", values(3, seed=1), lambda x: x + values(3, seed=1)),
        ("Pad", PADDINGS, lambda x: np.pad(x, PADDINGS)),
    ],
)
def test_what_works_on_nchw_tensors(tmp_path, op, weight, expected):
    x = values(2, 2, 3, 4)
    nodes = [node("t", "Transpose", "x", "order"), node("y", op, "t", "w")]
    (y,) = run(tmp_path, nodes, {"order": TO_NCHW, "w": weight}, x)
    np.testing.assert_array_equal(y, expected(x.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((4, 3), (8, 6)),
        ((5, 7), (13, 11)),
        ((8, 6), (4, 3)),
        ((3, 3), (3, 3)),
        ((41, 59), (49, 61)),
    ],
)
def test_resize_bilinear(tmp_path, size, target):
    x = values(2, *size, 3)
    nodes = [node("y", "ResizeBilinear", "x", "size", half_pixel_centers=True)]
    (y,) = run(tmp_path, nodes, {"size": np.array(target, np.int32)}, x)
    expected = resize_bilinear(x, target)
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize("size", range(1, 60))
def test_resize_reaches_its_size_exactly(tmp_path, size):
    x, target = values(1, size, 1, 1), np.array([61, 1], np.int32)
    nodes = [node("y", "ResizeBilinear", "x", "size", half_pixel_centers=True)]
    (y,) = run(tmp_path, nodes, {"size": target}, x)
    assert y.shape == (1, 61, 1, 1)


@pytest.mark.parametrize(
    ("op", "inputs", "fill"), [("Pad", ("p",), 0.0), ("PadV2", ("p", "fill"), -7.5)]
)
def test_pad(tmp_path, op, inputs, fill):
    x = values(2, 2, 3, 4)
    weights = {"p": PADDINGS, "fill": np.asarray(fill, np.float32)}
    (y,) = run(tmp_path, [node("y", op, "x", *inputs)], weights, x)
    np.testing.assert_array_equal(y, np.pad(x, PADDINGS, constant_values=fill))


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -3])
def test_concat(tmp_path, axis):
    x = values(2, 2, 3, 4)
    nodes = [node("a", "LeakyRelu", "x"), node("y", "ConcatV2", "a", "x", "a", "axis")]
    (y,) = run(tmp_path, nodes, {"axis": np.asarray(axis, np.int32)}, x)
    a = leaky(x)
    np.testing.assert_allclose(y, np.concatenate([a, x, a], axis), atol=1e-6)


@pytest.mark.parametrize(("axis", "sizes"), [(3, (1, 2, 2)), (-1, (4, 1)), (1, (2, 1))])
@pytest.mark.parametrize("nchw", [False, True])
def test_split(tmp_path, axis, sizes, nchw):
    x = values(2, 3, 5, 5)
    x = x.transpose(0, 2, 3, 1) if nchw else x  # so that the NCHW form has the sizes of the table
    nodes = [node("y", "SplitV", "t" if nchw else "x", "sizes", "axis")]
    nodes += [node("t", "Transpose", "x", "order")]
    weights = {
        "order": TO_NCHW,
        "sizes": np.array(sizes, np.int32),
        "axis": np.asarray(axis, np.int32),
    }
    parts = run(tmp_path, nodes, weights, x, [f"y:{i}" for i in range(len(sizes))])
    whole = x.transpose(0, 3, 1, 2) if nchw else x
    for part, expected in zip(parts, np.split(whole, np.cumsum(sizes)[:-1], axis), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_transposes_there_and_back(tmp_path):
    x = values(2, 2, 3, 4)
    nodes = [
        node("a", "Transpose", "x", "nchw"),
        node("b", "LeakyRelu", "a"),
        node("c", "Transpose", "b", "nhwc"),
        node("y", "Conv2D", "c", "w", strides=(1, 1, 1, 1), padding="VALID"),
    ]
    weights = {"nchw": TO_NCHW, "nhwc": TO_NHWC, "w": values(1, 1, 4, 5, seed=1)}
    b, y = run(tmp_path, nodes, weights, x, ["b", "y"])
    np.testing.assert_allclose(b, leaky(x).transpose(0, 3, 1, 2), atol=1e-6)
    np.testing.assert_allclose(y, leaky(x) @ weights["w"][0, 0], atol=1e-5)


CONV = {"strides": (1, 1, 1, 1), "padding": "SAME"}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("y", "FancyOp", "x")], "FancyOp node 'y'"),
        ([node("y", "Conv2D", "x", "w", **CONV | {"padding": "EXPLICIT"})], "padding EXPLICIT"),
        ([node("y", "Conv2D", "w", "w", **CONV)], "data input is a constant"),
        ([node("y", "Conv2D", "x", "x", **CONV)], "'image' would have to be a constant"),
        ([node("y", "_FusedConv2D", "x", "w", **CONV, fused_ops=("Tanh",))], "fused Tanh"),
        (
            [node("t", "Transpose", "x", "nchw"), node("y", "Conv2D", "t", "w", **CONV)],
            "not an NHWC feature map",
        ),
        ([node("t", "Transpose", "x", "nchw"), node("y", "Add", "t", "x")], "different layouts"),
        ([node("y", "Transpose", "x", "nhwc")], "no change between NHWC and NCHW"),
        ([node("y", "Add", "x", "b")], "do not broadcast"),
        ([node("y", "ResizeBilinear", "x", "b")], "half-pixel centers"),
        ([node("y", "ConcatV2", "x", "x", "zero")], "batch axis"),
    ],
)
def test_what_the_pinned_models_do_not_use(tmp_path, nodes, message):
    weights = {
        "w": values(1, 1, 3, 2),
        "b": values(2),
        "nchw": TO_NCHW,
        "nhwc": TO_NHWC,
        "zero": np.asarray(0, np.int32),
    }
    with pytest.raises(UnsupportedOpError, match=message):
        run(tmp_path, nodes, weights, values(1, 4, 4, 3))
