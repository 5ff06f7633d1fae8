"""The program that builds one TensorRT engine; it needs ``tensorrt`` (10.0 or newer) and a GPU.

Reads a job in JSON (see ``Job``) from its standard input, writes the plan to a file and the facts
of TensorRT and GPU to standard output, as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FACTS_PREFIX = "facts: "


@dataclass(frozen=True)
class Job:
    """An engine to build.

    Attributes:
        graph: The ONNX file; types of its tensors are the precisions to compute in.
        plan: File to write.
        shape: Of the input ``image`` without the batch: height, width, 3.
        opt_batch: Batch size to be fastest at.
        max_batch: Largest batch size; the smallest is 1.
        workspace_mib: GPU memory that a layer may take for intermediate results, None for all.
    """

    graph: str
    plan: str
    shape: tuple[int, int, int]
    opt_batch: int
    max_batch: int
    workspace_mib: int | None = None

    def to_json(self) -> str:
        """As text for the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The other way round."""
        fields = json.loads(text)
        height, width, channels = fields.pop("shape")
        return cls(shape=(height, width, channels), **fields)


class EngineError(Exception):
    """TensorRT can't build the engine; the message says why."""


def main() -> int:
    """Do the job on standard input.

    Returns:
        Exit status; where it is not 0, the last line of standard output says why.
    """
    job = Job.from_json(sys.stdin.read())
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        print(f"error: TensorRT can't be loaded: {error}")
        return 1
    try:
        Path(job.plan).write_bytes(build_plan(tensorrt, job))
    except EngineError as error:
        print(f"error: {error}")
        return 1
    print(FACTS_PREFIX + json.dumps({"tensorrt": tensorrt.__version__}))
    return 0


def build_plan(trt: Any, job: Job) -> bytes:
    """Build an engine.

    Args:
        trt: The module ``tensorrt``.
        job: What to build.

    Returns:
        The serialised engine.

    Raises:
        EngineError: There is no usable GPU, or TensorRT can't parse or build the graph.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:
        # What the bindings raise where CUDA can't be initialised.
        raise EngineError(
            "TensorRT finds no usable GPU: is the driver new enough for this TensorRT's CUDA?"
        ) from error
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(Path(job.graph).read_bytes()):
        problems = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} can't read the graph: {problems}")
    config = builder.create_builder_config()
    # The mantissa of TF32, which is on by default, has ten bits: FP32 is to be FP32.
    config.clear_flag(trt.BuilderFlag.TF32)
    if job.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_mib << 20)
    profile = builder.create_optimization_profile()
    batches = (1, job.opt_batch, job.max_batch)
    profile.set_shape("image", *((batch, *job.shape) for batch in batches))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT {trt.__version__} can't build the engine: see the lines above")
    return bytes(plan)


def _network_flags(trt: Any) -> int:
    """Layers compute in the types of the graph: an option before TensorRT 11, always since."""
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


if __name__ == "__main__":
    sys.exit(main())
