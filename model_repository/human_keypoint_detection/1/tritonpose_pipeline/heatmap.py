"""Heatmaps to keypoints: flip averaging and the DARK decode, for all persons at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

# Joints with left and right exchanged, COCO order.
FLIPPED_JOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

_LOG_FLOOR = 1e-10


def average_flipped(heatmaps: FloatArray, flipped: FloatArray, shift: bool) -> FloatArray:
    """Average heatmaps with those of the horizontally mirrored crops.

    Args:
        heatmaps: float32 ``[N, 17, h, w]`` of the crops.
        flipped: float32 ``[N, 17, h, w]`` of the mirrored crops.
        shift: Move the mirrored-back heatmaps one pixel to the right (the first column keeps
            its value), which aligns them for models trained with PP-TinyPose's sampling.

    Returns:
        float32 ``[N, 17, h, w]``.

    Source: PaddleX ``KptRunnerPredictor.process`` and ``flip_back``.
    """
    restored = flipped[:, FLIPPED_JOINTS, :, ::-1]
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
    persons, joints, height, width = heatmaps.shape
    maps = heatmaps.reshape(-1, height, width)
    if not len(maps):
        return np.zeros((persons, joints, 2)), np.zeros((persons, joints), np.float32)
    peaks = maps.reshape(len(maps), -1).argmax(axis=1)
    maxima = maps.reshape(len(maps), -1)[np.arange(len(maps)), peaks]
    y, x = np.divmod(peaks, width)
    positive = maxima > 0
    x, y = x * positive, y * positive
    coordinates = np.stack([x, y], axis=1).astype(np.float32)
    inner = np.flatnonzero((x > 1) & (x < width - 2) & (y > 1) & (y < height - 2))
    if inner.size:
        smoothed = smooth(maps[inner], maxima[inner])
        coordinates[inner] += _newton_offsets(smoothed, x[inner], y[inner])
    return (
        coordinates.reshape(persons, joints, 2).astype(np.float64),
        maxima.reshape(persons, joints),
    )


def smooth(maps: FloatArray, maxima: FloatArray) -> FloatArray:
    """Blur heatmaps with a 3x3 Gaussian and rescale them to given maxima.

    Outside the map counts as 0. The kernel is OpenCV's for size 3, (1, 2, 1)/4 on each axis.

    Args:
        maps: float32 ``[M, h, w]``.
        maxima: float32 ``[M]``, the maxima before blurring.

    Returns:
        float32 ``[M, h, w]``, computed in float64.

    Source: PaddleX ``KptPostProcess.gaussian_blur``.
    """
    padded = np.pad(maps.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    columns = 0.25 * (padded[:, :-2] + padded[:, 2:]) + 0.5 * padded[:, 1:-1]
    blurred = 0.25 * (columns[:, :, :-2] + columns[:, :, 2:]) + 0.5 * columns[:, :, 1:-1]
    result = blurred.astype(np.float32)
    result *= (maxima / result.max(axis=(1, 2)))[:, None, None]
    return np.asarray(result, np.float32)


def _newton_offsets(
    smoothed: FloatArray, x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]
) -> FloatArray:
    """Newton step from integer maxima towards the maximum of the log-heatmap.

    Args:
        smoothed: float32 ``[M, h, w]``.
        x: ``[M]``, columns of the maxima, at least 2 from either border.
        y: ``[M]``, rows of the maxima, likewise.

    Returns:
        float32 ``[M, 2]``, x, y; 0 where the Hessian is singular.
    """
    index = np.arange(len(smoothed))

    def log_at(dx: int, dy: int) -> FloatArray:
        return np.asarray(np.log(np.maximum(smoothed[index, y + dy, x + dx], _LOG_FLOOR)))

    center = log_at(0, 0)
    gradient_x = 0.5 * (log_at(1, 0) - log_at(-1, 0))
    gradient_y = 0.5 * (log_at(0, 1) - log_at(0, -1))
    dxx = 0.25 * (log_at(2, 0) - 2 * center + log_at(-2, 0))
    dyy = 0.25 * (log_at(0, 2) - 2 * center + log_at(0, -2))
    dxy = 0.25 * (log_at(1, 1) - log_at(1, -1) - log_at(-1, 1) + log_at(-1, -1))
    determinant = dxx * dyy - dxy * dxy
    regular = determinant != 0
    divisor = np.where(regular, determinant, 1)
    offsets = np.stack(
        [dxy * gradient_y - dyy * gradient_x, dxy * gradient_x - dxx * gradient_y], axis=1
    )
    return np.asarray(np.where(regular[:, None], offsets / divisor[:, None], 0), np.float32)
