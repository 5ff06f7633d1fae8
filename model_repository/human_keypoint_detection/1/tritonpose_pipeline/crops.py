"""Crops of people from an image, and the way back from a crop to the image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import Image

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

BOX_PADDING = 1.25

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
    # Where each pixel of a crop lies: whole pixels x, y, and fractions in 1/32, y times 32 plus x.
    whole, fractions = np.empty((height, width, 2), np.int16), np.empty((height, width), np.uint16)
    xs, ys = (_split_positions(each) for each in sampling_positions(matrices, size))
    for crop, x, x_fraction, y, y_fraction in zip(crops, *xs, *ys, strict=True):
        whole[..., 0], whole[..., 1] = x, y
        np.add(x_fraction, y_fraction << _WEIGHT_BITS, out=fractions)
        cv2.remap(image, whole, fractions, cv2.INTER_LINEAR, dst=crop)
    if not len(crops):
        return crops
    # All as one tall image.
    rgb = cv2.cvtColor(crops.reshape(-1, width, 3), cv2.COLOR_BGR2RGB)
    return np.asarray(rgb, np.uint8).reshape(crops.shape)


def sampling_positions(
    matrices: DoubleArray, size: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Compute where the pixels of crops lie in their image, in fixed point.

    ``cv2.warpAffine`` rounds so up to OpenCV 4.12, and with it PaddleX; later versions compute
    in floating point and give other crops. ``cv2.remap`` is the same in all of them.

    Args:
        matrices: float64 ``[N, 2, 3]``, from image pixels to crop pixels.
        size: Width and height of the crops in pixels.

    Returns:
        x and y in 1/32 pixels, ``[N, height, width]`` each; or ``[N, 1, width]`` and ``[N, height,
        1]`` where no crop is turned, as those of people.

    Source: OpenCV ``warpAffine`` and ``invertAffineTransform``.
    """
    (a, b, c), (d, e, f) = matrices.transpose(1, 2, 0)[..., None]
    determinant = a * e - b * d
    scale = np.divide(1, determinant, out=np.zeros_like(determinant), where=determinant != 0)
    a, b, d, e = e * scale, b * -scale, d * -scale, a * scale
    columns, rows = np.arange(size[0]), np.arange(size[1])
    half = _COORDINATE_STEPS >> (_WEIGHT_BITS + 1)
    shift = _COORDINATE_STEPS.bit_length() - 1 - _WEIGHT_BITS

    def steps(position: DoubleArray) -> npt.NDArray[np.int64]:
        return np.rint(position).astype(np.int64)

    x, y = steps(a * columns * _COORDINATE_STEPS), steps(d * columns * _COORDINATE_STEPS)
    x_down = steps((b * rows + (-a * c - b * f)) * _COORDINATE_STEPS)
    y_down = steps((e * rows + (-d * c - e * f)) * _COORDINATE_STEPS)
    if not y.any() and (x_down == x_down[:, :1]).all():
        x_down, y = x_down[:, :1], y[:, :1]
    return tuple(  # type: ignore[return-value]
        (along[:, None] + down[..., None] + half) >> shift
        for along, down in ((x, x_down), (y, y_down))
    )


def _split_positions(
    positions: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    """Split positions in 1/32 pixels into whole pixels and the rest."""
    limits = np.iinfo(np.int16)
    whole = np.clip(positions >> _WEIGHT_BITS, limits.min, limits.max).astype(np.int16)
    return whole, (positions & ((1 << _WEIGHT_BITS) - 1)).astype(np.uint16)


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
