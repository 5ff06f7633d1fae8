"""TensorFlow's NHWC operations in plain numpy, written from their documentation, for tests."""

import numpy as np


def same_pads(size, kernel, stride):
    """TensorFlow's documented rule, by the remainder."""
    total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
    return total // 2, total - total // 2


def window_starts(x, kernel, strides, padding, fill):
    """Padded input, and the first row and column of each window."""
    if padding == "SAME":
        pads = [same_pads(x.shape[1 + i], kernel[i], strides[i]) for i in (0, 1)]
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    starts = [range(0, x.shape[1 + i] - kernel[i] + 1, strides[i]) for i in (0, 1)]
    return x, starts


def convolve(x, weights, strides, dilations, padding, depthwise):
    """Convolution one window at a time, in float64."""
    height, width, channels, filters = weights.shape
    kernel = [(size - 1) * step + 1 for size, step in zip((height, width), dilations, strict=True)]
    x, (rows, columns) = window_starts(x.astype(np.float64), kernel, strides, padding, 0.0)
    outputs = channels * filters if depthwise else filters
    result = np.zeros((x.shape[0], len(rows), len(columns), outputs))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            bottom, right = row + kernel[0], column + kernel[1]
            window = x[:, row : bottom : dilations[0], column : right : dilations[1]]
            if depthwise:
                result[:, i, j] = np.einsum("nhwc,hwcm->ncm", window, weights).reshape(-1, outputs)
            else:
                result[:, i, j] = np.einsum("nhwc,hwcm->nm", window, weights)
    return result


def resize_axis(x, axis, target):
    size = x.shape[axis]
    positions = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, size - 1)
    weight = (positions - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight


def resize_bilinear(x, target):
    """Bilinear resize with half-pixel centers, in float64."""
    return resize_axis(resize_axis(x.astype(np.float64), 1, target[0]), 2, target[1])
