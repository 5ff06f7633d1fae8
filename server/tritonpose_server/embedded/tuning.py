"""How a server uses its machine: threads, streams, processes, batches, queues.

Tuning files are YAML with the sections and keys of `Tuning`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonpose.errors import ConfigError
from tritonpose.yaml_files import read_yaml

AUTO = "auto"
"""How files write a value that is left to the rules."""


# Cores that a process of the pipeline keeps busy, with models or itself, before its Python code
# is the limit.
_CORES_PER_INSTANCE, _CORES_PER_INSTANCE_BESIDE_GPUS = 4, 1
_MOST_INSTANCES = 16


def _knob(least: int, most: int) -> Any:
    return field(default=None, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class ModelTuning:
    """How the models of a role compute; None leaves a choice to the model's own configuration.

    Attributes:
        instances: Processes, each with a copy of the model and its own streams and threads; on
            GPUs, that many on each.
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
    """How much the pipeline works on at a time; None leaves a choice to `complete_pipeline`.

    All but `instances` are of all instances together.

    Attributes:
        workers: Requests that the pipeline works on at the same time.
        threads: Workers that compute at the same time, while the others wait for models.
        max_in_flight: Requests accepted at the same time, waiting ones included, by the pipeline,
            the HPS model and the REST service each; more are refused at once.
        instances: Processes of the pipeline, each of which runs Python on one core at a time.
    """

    workers: int | None = _knob(1, 1024)
    threads: int | None = _knob(1, 1024)
    max_in_flight: int | None = _knob(1, 100_000)
    instances: int | None = _knob(1, 64)


_SECTIONS: Mapping[str, type[ModelTuning] | type[PipelineTuning]] = {
    "detector": ModelTuning,
    "keypoint_model": ModelTuning,
    "pipeline": PipelineTuning,
}


@dataclass(frozen=True)
class Tuning:
    """All settings of a tuning: of all detectors, all keypoint models and the pipeline.

    Raises ConfigError if a value is not an integer, out of range, or contradicts another.
    """

    detector: ModelTuning = ModelTuning()
    keypoint_model: ModelTuning = ModelTuning()
    pipeline: PipelineTuning = PipelineTuning()

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            section, _, key = name.partition(".")
            _check(name, value, _SECTIONS[section].__dataclass_fields__[key].metadata)
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
        for name in ("workers", "max_in_flight"):
            limit, instances = getattr(self.pipeline, name), self.pipeline.instances
            if limit and instances and instances > limit:
                raise ConfigError(
                    f"pipeline.instances is {instances}, but pipeline.{name} only {limit}: some "
                    "instances would never have anything to do"
                )

    def values(self) -> dict[str, int | None]:
        """Return all values by their names, such as ``detector.streams``."""
        return {
            f"{section.name}.{knob.name}": getattr(getattr(self, section.name), knob.name)
            for section in dataclasses.fields(self)
            for knob in dataclasses.fields(getattr(self, section.name))
        }


def load_tuning(path: str | os.PathLike[str]) -> Tuning:
    """Read a tuning file; what it leaves out, or sets to ``auto``, is left to the rules.

    Raises ConfigError if it can't be read, or something in it is wrong.
    """
    try:
        content = read_yaml(Path(path))
    except OSError as error:
        raise ConfigError(f"can't read the tuning file {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"tuning file {error}") from error
    try:
        return _parse(content)
    except ConfigError as error:
        raise ConfigError(f"tuning file {str(path)!r}: {error}") from None


def describe(tuning: Tuning) -> str:
    """List what a tuning sets, in one line."""
    chosen = [f"{name} {value}" for name, value in tuning.values().items() if value is not None]
    return ", ".join(chosen) or "nothing is set"


def warnings_for(tuning: Tuning, cores: int) -> Iterator[str]:
    """Yield warnings about settings that a machine with this number of cores can't honor."""
    for name, value in tuning.values().items():
        if name.endswith((".threads", ".streams")) and value is not None and value > cores:
            yield (
                f"{name} is {value}, but only {cores} of this machine's cores may be used: on the "
                f"CPU it counts as {cores}"
            )


def complete_pipeline(tuning: PipelineTuning, cores: int, *, on_gpus: bool) -> PipelineTuning:
    """Apply the rules for a number of cores to what a tuning leaves open; all values are set.

    ``on_gpus``: the models compute there, and leave the cores to the pipeline.
    """
    from tritonpose_pipeline.limits import Limits, default_workers

    most = tuning.max_in_flight or max(
        Limits.max_in_flight, tuning.workers or 0, tuning.instances or 0
    )
    threads = tuning.threads or cores
    per_instance = _CORES_PER_INSTANCE_BESIDE_GPUS if on_gpus else _CORES_PER_INSTANCE
    rule = min(max(threads // per_instance, 1), _MOST_INSTANCES, tuning.workers or most)
    instances = tuning.instances or rule
    workers = tuning.workers or max(min(default_workers(cores, instances), most), instances)
    return PipelineTuning(workers, threads, most, instances)


def _parse(content: object) -> Tuning:
    tuned: dict[str, Any] = {}
    for section, values in _mapping(content, "the file").items():
        if section not in _SECTIONS:
            raise ConfigError(f"unknown key {section!r}; known are {', '.join(_SECTIONS)}")
        known = [knob.name for knob in dataclasses.fields(_SECTIONS[section])]
        chosen: dict[str, Any] = {}
        for key, value in _mapping(values, section).items():
            if key not in known:
                raise ConfigError(f"unknown key {key!r} in {section}; known are {', '.join(known)}")
            automatic = isinstance(value, str) and value.lower() == AUTO
            chosen[key] = None if automatic else value
        tuned[section] = _SECTIONS[section](**chosen)
    return Tuning(**tuned)


def _mapping(content: object, what: str) -> dict[str, object]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{what} must consist of lines `key: value`, got {content!r}")
    return {str(key): value for key, value in content.items()}


def _check(name: str, value: object, limits: Mapping[str, int]) -> None:
    least, most = limits["least"], limits["most"]
    # Python takes a bool for an int.
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
    ):
        raise ConfigError(f"{name} must be an integer from {least} to {most}, or {AUTO}: {value!r}")
