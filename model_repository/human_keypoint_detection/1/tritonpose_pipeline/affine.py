"""Person crops: boxes to affine matrices, and the warp itself."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import Image

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

BOX_PADDING = 1.25


def boxes_to_centers_and_scales(
    boxes: FloatArray, aspect_ratio: float
) -> tuple[FloatArray, FloatArray]:
    """Grow boxes to an aspect ratio and pad them.

    Args:
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2.
        aspect_ratio: Width / height of the keypoint model's input.

    Returns:
        Centres ``[N, 2]`` and scales (width, height) ``[N, 2]`` of the padded boxes, float32,
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


def crop_matrices(centers: FloatArray, scales: FloatArray, size: tuple[int, int]) -> DoubleArray:
    """Affine matrices from image pixels to a crop or heatmap of the given size.

    The scale's width spans the width of the destination and both axes share that factor.

    Args:
        centers: float32 ``[N, 2]``, x, y in image pixels.
        scales: float32 ``[N, 2]``, width, height in image pixels.
        size: Width and height of the destination in pixels.

    Returns:
        float64 ``[N, 2, 3]``.

    Source: PaddleX ``get_affine_transform`` with rotation 0.
    """
    points = _triangles(centers, scales[:, 0])
    target = _destination_triangle(size)
    return _stack([_affine_matrix(triangle, target) for triangle in points])


def image_matrices(centers: FloatArray, scales: FloatArray, size: tuple[int, int]) -> DoubleArray:
    """Affine matrices from pixels of a heatmap of the given size back to image pixels.

    Args:
        centers: float32 ``[N, 2]``, x, y in image pixels.
        scales: float32 ``[N, 2]``, width, height in image pixels.
        size: Width and height of the heatmap in pixels.

    Returns:
        float64 ``[N, 2, 3]``.

    Source: PaddleX ``get_affine_transform`` with rotation 0 and ``inv``.
    """
    points = _triangles(centers, scales[:, 0])
    target = _destination_triangle(size)
    return _stack([_affine_matrix(target, triangle) for triangle in points])


def udp_matrices(centers: FloatArray, scales: FloatArray, size: tuple[int, int]) -> DoubleArray:
    """Affine matrices of unbiased data processing from image pixels to a crop.

    Lengths are measured between pixel centres, so that the destination spans ``size - 1``.

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


def crop_persons(
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
        warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
        cv2.cvtColor(warped, cv2.COLOR_BGR2RGB, dst=crop)
    return crops


def transform_points(points: DoubleArray, matrices: DoubleArray) -> DoubleArray:
    """Apply one affine matrix per person to that person's points.

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
    """Three points per person: centre, half a width above it, and a right angle's third."""
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


def _affine_matrix(source: FloatArray, target: FloatArray) -> DoubleArray:
    return np.asarray(cv2.getAffineTransform(source, target), np.float64)


def _stack(matrices: list[DoubleArray]) -> DoubleArray:
    return np.array(matrices, np.float64).reshape(-1, 2, 3)
