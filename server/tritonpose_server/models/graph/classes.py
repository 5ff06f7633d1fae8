"""Which of a detector's classes count as people."""

from __future__ import annotations

from collections.abc import Iterable

from tritonpose_pipeline.thresholds import class_ids, describe_classes
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.inference_yml import InferenceYml

_PERSON_LABELS = ("pedestrian", "person", "human", "people")

# Where a graph leaves their number open.
_MOST_CLASSES = 100_000


def counted_classes(yml: InferenceYml, class_count: int | None) -> tuple[int, ...]:
    """Return the ids of the classes that count: those asked for, else that of persons.

    ``class_count`` is None where the graph leaves it open. What can't be decided is a
    `ConversionError`.
    """
    labels = yml.labels
    if class_count is not None and labels and class_count != len(labels):
        raise ConversionError(
            f"the detector scores {class_count} classes, label_list of inference.yml has "
            f"{len(labels)} labels: list one for each class"
        )
    if yml.classes is not None:
        return _ids(yml.classes, labels, range(class_count or _MOST_CLASSES))
    if len(labels) <= 1 and class_count in (1, None):
        return (0,)
    for index, label in enumerate(labels):
        if label.strip().lower() in _PERSON_LABELS:
            return (index,)
    raise ConversionError(
        f"none of the detector's labels is a person ({', '.join(_PERSON_LABELS)}): "
        f"{', '.join(labels) or 'label_list is missing'}. Say which of its classes count: "
        "`classes` under ObjectDetection in the pipeline file, or --classes of `tritonpose models "
        "install`, with labels or ids from 0"
    )


def _ids(wanted: Iterable[str], labels: tuple[str, ...], known: range) -> tuple[int, ...]:
    ids: set[int] = set()
    for key in wanted:
        found = class_ids(key, labels, known)
        if not found:
            has = describe_classes(labels, known) if labels else f"{len(known)}, without labels"
            raise ConversionError(f"the detector has no class {key!r}; its classes are {has}")
        ids.update(found)
    return tuple(sorted(ids))
