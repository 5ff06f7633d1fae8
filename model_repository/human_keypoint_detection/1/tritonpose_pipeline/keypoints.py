"""Around the keypoint model: crops of people from an image, keypoints from its heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import Image

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

BOX_PADDING = 1.25

_LOG_FLOOR = 1e-10

# Of OpenCV's fixed-point warp: coordinates are rounded to 1/1024 of a pixel, then cut to 1/32.
_COORDINATE_STEPS = 1024
_WEIGHT_BITS = 5


def boxes_to_centers_and_scales(
    boxes: FloatArray, aspect_ratio: float
) -> tuple[FloatArray, FloatArray]:
    """Grow boxes to an aspect ratio and pad them.

    Args:
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2.
        aspect_ratio: Width / height of the keypoint model's input.

    Returns:
        Centers ``[N, 2]`` and scales (width, height) ``[N, 2]`` of the padded boxes, float32,
        in the unit of the boxes.

    Source: PaddleX ``_KeypointDetectionPipeline._box_xyxy2cs``.
    """
    centers = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    ratio = np.float32(aspect_ratio)
    too_wide = width > ratio * height
    scales = np.stack(
        [np.where(too_wide, width, height * ratio), np.where(too_wide, width / ratio, height)], 1
    )
    return centers, scales * np.float32(BOX_PADDING)


def crop_matrices(
    centers: FloatArray, scales: FloatArray, size: tuple[int, int], *, inverse: bool = False
) -> DoubleArray:
    """Compute affine matrices from image pixels to a crop or heatmap of the given size.

    The scale's width spans the width of the destination and both axes share that factor.

    Args:
        centers: float32 ``[N, 2]``, x, y in image pixels.
        scales: float32 ``[N, 2]``, width, height in image pixels.
        size: Width and height of the crop or heatmap in pixels.
        inverse: Whether the matrices lead from there back to image pixels.

    Returns:
        float64 ``[N, 2, 3]``.

    Source: PaddleX ``get_affine_transform`` with rotation 0, and ``inv``.
    """
    target = _destination_triangle(size)
    matrices = [
        cv2.getAffineTransform(*((target, triangle) if inverse else (triangle, target)))
        for triangle in _triangles(centers, scales[:, 0])
    ]
    return np.array(matrices, np.float64).reshape(-1, 2, 3)


def udp_matrices(centers: FloatArray, scales: FloatArray, size: tuple[int, int]) -> DoubleArray:
    """Compute affine matrices of unbiased data processing from image pixels to a crop.

    Lengths are measured between pixel centers, so that the destination spans ``size - 1``.

    Args:
        centers: float32 ``[N, 2]``, x, y in image pixels.
        scales: float32 ``[N, 2]``, width, height in image pixels.
        size: Width and height of the crop in pixels.

    Returns:
        float64 ``[N, 2, 3]`` with float32 precision, as in PaddleX.

    Source: Huang et al., The Devil is in the Details: Delving into Unbiased Data Processing for
    Human Pose Estimation, CVPR 2020; PaddleX ``get_warp_matrix`` with rotation 0.
    """
    factors = (np.array(size, np.float32) - 1) / scales
    matrices = np.zeros((len(centers), 2, 3), np.float32)
    matrices[:, 0, 0] = factors[:, 0]
    matrices[:, 1, 1] = factors[:, 1]
    offsets = 0.5 * scales.astype(np.float64) - centers.astype(np.float64)
    matrices[:, :, 2] = factors.astype(np.float64) * offsets
    return matrices.astype(np.float64)


def crop_people(
    image: Image, matrices: DoubleArray, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Warp one crop per matrix out of an image.

    Args:
        image: uint8 ``[H, W, 3]``, BGR.
        matrices: float64 ``[N, 2, 3]``, from image pixels to crop pixels.
        size: Width and height of the crops in pixels.

    Returns:
        uint8 ``[N, height, width, 3]``, RGB; bilinear, black outside the image.

    Source: PaddleX ``TopDownAffine``.
    """
    width, height = size
    crops = np.empty((len(matrices), height, width, 3), np.uint8)
    for matrix, crop in zip(matrices, crops, strict=True):
        warped = cv2.remap(image, *sampling_maps(matrix, size), cv2.INTER_LINEAR)
        cv2.cvtColor(warped, cv2.COLOR_BGR2RGB, dst=crop)
    return crops


def sampling_maps(
    matrix: DoubleArray, size: tuple[int, int]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    """Compute where each pixel of a crop lies in its image, in fixed point.

    ``cv2.warpAffine`` rounds so up to OpenCV 4.12, and with it PaddleX; later versions compute
    in floating point and give other crops. ``cv2.remap`` is the same in all of them.

    Args:
        matrix: float64 ``[2, 3]``, from image pixels to crop pixels.
        size: Width and height of the crop in pixels.

    Returns:
        The maps of ``cv2.remap``: whole pixels int16 ``[height, width, 2]``, x, y, and uint16
        ``[height, width]``, the fractions in 1/32, y times 32 plus x.

    Source: OpenCV ``warpAffine`` and ``invertAffineTransform``.
    """
    (a, b, c), (d, e, f) = matrix.tolist()
    determinant = a * e - b * d
    scale = 1 / determinant if determinant else 0.0
    a, b, d, e = e * scale, b * -scale, d * -scale, a * scale
    columns, rows = np.arange(size[0]), np.arange(size[1])
    origin_x, origin_y = -a * c - b * f, -d * c - e * f
    half = _COORDINATE_STEPS >> (_WEIGHT_BITS + 1)
    shift = _COORDINATE_STEPS.bit_length() - 1 - _WEIGHT_BITS

    def positions(of_column: float, of_row: float, origin: float) -> npt.NDArray[np.int64]:
        along = np.rint(of_column * columns * _COORDINATE_STEPS).astype(np.int64)
        down = np.rint((of_row * rows + origin) * _COORDINATE_STEPS).astype(np.int64) + half
        # A person's crop is not turned: then one row, or one column, says it all.
        if not along.any():
            along = along[:1]
        if (down == down[0]).all():
            down = down[:1]
        return np.asarray((along + down[:, None]) >> shift, np.int64)

    x, y = positions(a, b, origin_x), positions(d, e, origin_y)
    limits, mask = np.iinfo(np.int16), (1 << _WEIGHT_BITS) - 1
    whole = np.empty((size[1], size[0], 2), np.int16)
    for axis, position in enumerate((x, y)):
        pixels = np.clip(position >> _WEIGHT_BITS, limits.min, limits.max)
        whole[..., axis] = pixels.astype(np.int16)
    fractions = np.empty((size[1], size[0]), np.uint16)
    rows_of_weights = ((y & mask) << _WEIGHT_BITS).astype(np.uint16)
    np.add(rows_of_weights, (x & mask).astype(np.uint16), out=fractions)
    return whole, fractions


def transform_points(points: DoubleArray, matrices: DoubleArray) -> DoubleArray:
    """Apply one affine matrix per person to the points of that person.

    Args:
        points: float64 ``[N, K, 2]``, x, y.
        matrices: float64 ``[N, 2, 3]``.

    Returns:
        float64 ``[N, K, 2]``.

    Source: PaddleX ``transform_preds``.
    """
    rotation = matrices[:, :, :2].transpose(0, 2, 1)
    return np.asarray(points @ rotation + matrices[:, None, :, 2], np.float64)


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
        smoothed = smooth(maps[inner], maxima[inner])
        coordinates[inner] += _newton_offsets(smoothed, x[inner], y[inner])
    return (
        coordinates.reshape(people, joints, 2).astype(np.float64),
        maxima.reshape(people, joints),
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


def _triangles(centers: FloatArray, widths: FloatArray) -> FloatArray:
    """Return three points per person: center, half a width above it, a right angle's third."""
    triangles = np.repeat(centers[:, None, :], 3, axis=1).astype(np.float32)
    triangles[:, 1, 1] = centers[:, 1] + widths * np.float32(-0.5)
    _place_third_point(triangles)
    return triangles


def _destination_triangle(size: tuple[int, int]) -> FloatArray:
    width, height = size
    triangle = np.array([[[width, height], [width, height - width], [0, 0]]], np.float32) * 0.5
    _place_third_point(triangle)
    return np.asarray(triangle[0], np.float32)


def _place_third_point(triangles: FloatArray) -> None:
    """Set point 2 to point 1 plus the difference of points 0 and 1 turned by 90 degrees."""
    difference = triangles[:, 0] - triangles[:, 1]
    triangles[:, 2, 0] = triangles[:, 1, 0] - difference[:, 1]
    triangles[:, 2, 1] = triangles[:, 1, 1] + difference[:, 0]


def _newton_offsets(
    smoothed: FloatArray, x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]
) -> FloatArray:
    """Take a Newton step from integer maxima towards the maximum of the log-heatmap.

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
