"""Keypoints from the heatmaps of a keypoint model."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

_LOG_FLOOR = 1e-10

_BLUR_KERNEL = np.array([0.25, 0.5, 0.25])

# From a maximum to the values of which derivatives are made, x, y: the maximum itself, one to the
# left, right, above and below, two to each of these, and the corners: above left and right, below.
_STEPS = np.array(
    [
        *[(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2)],
        *[(-1, -1), (1, -1), (-1, 1), (1, 1)],
    ]
)


def average_flipped(
    heatmaps: FloatArray, flipped: FloatArray, mirrored: Sequence[int], shift: bool
) -> FloatArray:
    """Average heatmaps with those of the horizontally mirrored crops.

    Args:
        heatmaps: float32 ``[N, K, h, w]`` of the crops.
        flipped: float32 ``[N, K, h, w]`` of the mirrored crops.
        mirrored: Where each keypoint is found among those of the mirrored crops.
        shift: Move the mirrored-back heatmaps one pixel to the right (the first column keeps
            its value), which aligns them for models trained with PP-TinyPose's sampling.

    Returns:
        float32 ``[N, K, h, w]``.

    Source: PaddleX ``KptRunnerPredictor.process`` and ``flip_back``.
    """
    restored = flipped[:, list(mirrored), :, ::-1]
    if shift:
        restored = np.concatenate([restored[..., :1], restored[..., :-1]], axis=-1)
    return (heatmaps + restored) * np.float32(0.5)


def decode_heatmaps(heatmaps: FloatArray) -> tuple[DoubleArray, FloatArray]:
    """Decode heatmaps to sub-pixel coordinates with the DARK method.

    The maximum of each joint is refined by one Newton step on the logarithm of the smoothed
    heatmap, unless it lies at the border or the Hessian is singular.

    Args:
        heatmaps: float32 ``[N, K, h, w]``.

    Returns:
        Coordinates float64 ``[N, K, 2]``, x, y in heatmap pixels, and scores float32 ``[N, K]``,
        the maxima. Coordinates are 0, 0 where the maximum is not positive.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020; PaddleX ``KptPostProcess`` (``get_max_preds``, ``gaussian_blur``, ``dark_parse``).
    """
    people, joints, height, width = heatmaps.shape
    maps = heatmaps.reshape(-1, height, width)
    if not len(maps):
        return np.zeros((people, joints, 2)), np.zeros((people, joints), np.float32)
    peaks = maps.reshape(len(maps), -1).argmax(axis=1)
    maxima = maps.reshape(len(maps), -1)[np.arange(len(maps)), peaks]
    y, x = np.divmod(peaks, width)
    positive = maxima > 0
    x, y = x * positive, y * positive
    coordinates = np.stack([x, y], axis=1).astype(np.float32)
    inner = np.flatnonzero((x > 1) & (x < width - 2) & (y > 1) & (y < height - 2))
    if inner.size:
        around = _smooth_around(maps[inner], maxima[inner], x[inner], y[inner])
        coordinates[inner] += _newton_offsets(around)
    return (
        coordinates.reshape(people, joints, 2).astype(np.float64),
        maxima.reshape(people, joints),
    )


def smooth(maps: FloatArray) -> DoubleArray:
    """Blur heatmaps with a 3x3 Gaussian, outside of which counts as 0.

    The kernel is OpenCV's for size 3, (1, 2, 1)/4 on each axis.

    Args:
        maps: float32 ``[M, h, w]``.

    Returns:
        float64 ``[M, h, w]``.

    Source: PaddleX ``KptPostProcess.gaussian_blur``.
    """
    count, height, width = maps.shape
    # All as one tall image, with a row of zeros below each.
    padded = np.zeros((count, height + 1, width), np.float32)
    padded[:, :-1] = maps
    tall = padded.reshape(-1, width)
    blurred = cv2.sepFilter2D(
        tall, cv2.CV_64F, _BLUR_KERNEL, _BLUR_KERNEL, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(blurred.reshape(padded.shape)[:, :-1], np.float64)


def _smooth_around(
    maps: FloatArray, maxima: FloatArray, x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]
) -> FloatArray:
    """Blur heatmaps, rescale them to their maxima from before, and read them around places.

    Args:
        maps: float32 ``[M, h, w]``.
        maxima: float32 ``[M]``.
        x: ``[M]``, columns of the places, at least 2 from either border.
        y: ``[M]``, rows of the places, likewise.

    Returns:
        float32 ``[13, M]``, at the steps `_STEPS` from the places.
    """
    width = maps.shape[2]
    blurred = smooth(maps).reshape(len(maps), -1)
    steps = _STEPS[:, :1] + _STEPS[:, 1:] * width
    around = blurred[np.arange(len(maps)), x + y * width + steps].astype(np.float32)
    return np.asarray(around * (maxima / blurred.max(axis=1).astype(np.float32)), np.float32)


def _newton_offsets(around: FloatArray) -> FloatArray:
    """Take a Newton step from integer maxima towards the maximum of the log-heatmap.

    Args:
        around: float32 ``[13, M]``, smoothed heatmaps at the steps `_STEPS` from their maxima.

    Returns:
        float32 ``[M, 2]``, x, y; 0 where the Hessian is singular.
    """
    logarithms = np.log(np.maximum(around, _LOG_FLOOR))
    center, left, right, up, down = logarithms[:5]
    left_2, right_2, up_2, down_2, up_left, up_right, down_left, down_right = logarithms[5:]
    gradient_x = 0.5 * (right - left)
    gradient_y = 0.5 * (down - up)
    dxx = 0.25 * (right_2 - 2 * center + left_2)
    dyy = 0.25 * (down_2 - 2 * center + up_2)
    dxy = 0.25 * (down_right - up_right - down_left + up_left)
    determinant = dxx * dyy - dxy * dxy
    regular = determinant != 0
    divisor = np.where(regular, determinant, 1)
    offsets = np.stack(
        [dxy * gradient_y - dyy * gradient_x, dxy * gradient_x - dxx * gradient_y], axis=1
    )
    return np.asarray(np.where(regular[:, None], offsets / divisor[:, None], 0), np.float32)
