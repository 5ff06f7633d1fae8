"""A street on which two people walk past each other, as a server would see it."""

from collections.abc import Callable, Iterator

import numpy as np

from stand_ins import StandIn
from tritonpose.tracking import TrackedResult
from tritonpose.transport.messages import InferRequest, PoseResponse

WIDTH, HEIGHT = 320, 240
RANDOM = np.random.default_rng(3)
# Two people of 50 x 100 pixels, each with a pose of their own.
POSES = [RANDOM.uniform([-20, -45], [20, 45], (17, 2)) for _ in "ab"]


def place(person: int, number: int) -> np.ndarray:
    """Where somebody is in a frame: they walk towards each other, and past."""
    return np.array([(60 + 4 * number, 260 - 4 * number)[person], (110, 130)[person]], float)


class Street(StandIn):
    """Answers as a server would of two people: by a detector, or in the boxes that it is given.

    ``clarity`` of the joints and ``present`` people may change with the frame's number.
    """

    clarity: Callable[[int], float] = staticmethod(lambda _: 0.9)
    present: Callable[[int], tuple[int, ...]] = staticmethod(lambda _: (0, 1))

    def answer(self, request: InferRequest, number: int) -> PoseResponse:
        people = self.present(number)
        if request.person_boxes is not None:
            centers = request.person_boxes.reshape(-1, 2, 2).mean(axis=1)
            nearest = [
                min((0, 1), key=lambda one: abs(place(one, number) - center).sum())
                for center in centers
            ]
            boxes, scores = request.person_boxes, np.ones(len(centers))
            clear = [self.clarity(number) if one in people else 0.05 for one in nearest]
        else:
            nearest = list(people)
            half = np.array([25, 50])
            corners = [[place(one, number) - half, place(one, number) + half] for one in people]
            boxes = np.array(corners, np.float32).reshape(-1, 4)
            scores = np.array([0.9, 0.8])[nearest]
            clear = [self.clarity(number) for _ in nearest]
        poses = [
            np.column_stack([POSES[one] + place(one, number), np.full(17, score)])
            for one, score in zip(nearest, clear, strict=True)
        ]
        keypoints = np.array(poses, np.float32).reshape(-1, 17, 3)
        return PoseResponse(
            boxes, scores.astype(np.float32), keypoints, keypoints[:, :, 2].mean(axis=1)
        )

    def detections(self) -> list[int]:
        """List the numbers of the frames in which a detector looked."""
        return sorted(
            int(request.frame[0, 0, 0])
            for request in self.requests
            if request.frame is not None and request.person_boxes is None
        )


def image(number: int) -> np.ndarray:
    """A frame from which its number can be read."""
    return np.full((HEIGHT, WIDTH, 3), number, np.uint8)


def images(count: int) -> Iterator[np.ndarray]:
    """The first frames."""
    return (image(number) for number in range(count))


def shown(result: TrackedResult) -> dict[int | None, float]:
    """The horizontal places of the people, by their numbers."""
    centers = result.arrays.boxes[:, [0, 2]].mean(axis=1)
    return dict(zip(result.track_ids, centers.round(2).tolist(), strict=True))
