"""Every knob that decides how fast a server is, and how much of the machine it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tritonpose.errors import ConfigError

AUTO = "auto"
"""How files write a value that nobody chose."""


def _knob(least: int, most: int) -> Any:
    return field(default=None, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class ModelTuning:
    """How the models of a role compute; None leaves a choice to the model's own configuration.

    Attributes:
        instances: Processes, each with a copy of the model and its own streams and threads; on
            GPUs, so many on each.
        streams: Images (backend openvino) or batches (onnxruntime) that one process computes side
            by side.
        threads: CPU threads of all streams of a process together; without effect on GPUs.
        max_batch_size: Images that Triton puts together, at most, and that the pipeline sends in
            one request; a model that takes fewer keeps its own limit.
        queue_delay_us: Microseconds that a request may wait for others to fill a batch.
    """

    instances: int | None = _knob(1, 64)
    streams: int | None = _knob(1, 256)
    threads: int | None = _knob(1, 1024)
    max_batch_size: int | None = _knob(1, 1024)
    queue_delay_us: int | None = _knob(0, 1_000_000)


@dataclass(frozen=True)
class PipelineTuning:
    """How much is worked on at a time; None leaves a choice to the rules in ``defaults``.

    Attributes:
        workers: Requests that the pipeline works on at the same time.
        threads: Workers that compute at the same time, while the others wait for models.
        max_in_flight: Requests accepted at the same time, waiting ones included, by the pipeline,
            the HPS model and the REST service each; more are refused at once.
    """

    workers: int | None = _knob(1, 1024)
    threads: int | None = _knob(1, 1024)
    max_in_flight: int | None = _knob(1, 100_000)


@dataclass(frozen=True)
class Tuning:
    """All knobs.

    Attributes:
        detector: Of all detectors.
        keypoint_model: Of all keypoint models.
        pipeline: Of what calls them.

    Raises:
        ConfigError: A value is no integer, out of range, or at odds with another.
    """

    detector: ModelTuning = ModelTuning()
    keypoint_model: ModelTuning = ModelTuning()
    pipeline: PipelineTuning = PipelineTuning()

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            _check(name, value)
        for role in ("detector", "keypoint_model"):
            model: ModelTuning = getattr(self, role)
            if model.streams and model.threads and model.streams > model.threads:
                raise ConfigError(
                    f"{role}.streams is {model.streams}, but {role}.threads only {model.threads}: "
                    "each stream needs a thread"
                )
        workers, most = self.pipeline.workers, self.pipeline.max_in_flight
        if workers and most and workers > most:
            raise ConfigError(
                f"pipeline.workers is {workers}, but pipeline.max_in_flight only {most}: the "
                "other workers would never have anything to do"
            )

    def values(self) -> dict[str, int | None]:
        """All values by their names, such as ``detector.streams``."""
        return {
            f"{section.name}.{knob.name}": getattr(getattr(self, section.name), knob.name)
            for section in dataclasses.fields(self)
            for knob in dataclasses.fields(getattr(self, section.name))
        }

    def with_values(self, values: Mapping[str, int | None]) -> Tuning:
        """The same with other values.

        Args:
            values: By names, as of ``values()``; None leaves a value as it is.

        Raises:
            ConfigError: The result is no valid tuning, or there is no such knob.
        """
        chosen = {name: value for name, value in values.items() if value is not None}
        return from_values({**self.values(), **chosen})


def from_values(values: Mapping[str, object]) -> Tuning:
    """Make a tuning.

    Args:
        values: By names, as of ``Tuning.values()``; None for those that nobody chose.

    Raises:
        ConfigError: The values are wrong, or there is no such knob.
    """
    known = Tuning().values()
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no setting {name!r}; there are {', '.join(known)}")
    sections: dict[str, dict[str, Any]] = {"detector": {}, "keypoint_model": {}, "pipeline": {}}
    for name, value in values.items():
        section, _, key = name.partition(".")
        sections[section][key] = value
    return Tuning(
        ModelTuning(**sections["detector"]),
        ModelTuning(**sections["keypoint_model"]),
        PipelineTuning(**sections["pipeline"]),
    )


def _check(name: str, value: object) -> None:
    section, _, key = name.partition(".")
    kind = PipelineTuning if section == "pipeline" else ModelTuning
    limits = {knob.name: knob.metadata for knob in dataclasses.fields(kind)}[key]
    least, most = limits["least"], limits["most"]
    # A bool is an int to Python, but no number to whoever writes a file.
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
    ):
        raise ConfigError(f"{name} must be an integer from {least} to {most}, or {AUTO}: {value!r}")
