"""Variants of installed models that compute in less than FP32, as models of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonpose_pipeline.repository import CONFIG_FILE
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.catalog import DEFAULT_DETECTOR
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelFiles,
    ModelStore,
    Progress,
    digest_files,
    installed_config,
)

if TYPE_CHECKING:
    import onnx

VariantPrecision = Literal["bf16", "int8"]


@dataclass(frozen=True)
class BareModel:
    """An installed model that variants can be made of, with the path of its ONNX file."""

    name: str
    model: Path
    config: ModelConfig
    provenance: Mapping[str, object]


def read_base(store: ModelStore, name: str) -> BareModel:
    """Read a model of which a variant is to be made; it must not be a variant itself."""
    provenance = store.require(name)
    if "precision" in provenance:
        raise ConversionError(
            f"{name!r} is the {provenance['precision']} variant of {provenance['base']!r}: name "
            "that one instead"
        )
    config = installed_config(store.path(name) / CONFIG_FILE)
    return BareModel(name, store.model_file(name), config, provenance)


def stale_facts(name: str, store: ModelStore) -> list[str]:
    """Return sentences about an installed model that is not what installing it now would give."""
    provenance = store.provenance(name) or {}
    facts = []
    base = provenance.get("base")
    version = provenance.get("converter_version")
    # A variant has that of its base, and is not installed itself.
    if base is None and isinstance(version, int) and version < CONVERTER_VERSION:
        facts.append(
            f"{name} was converted by an earlier version of tritonpose; install it again (from "
            f"{provenance.get('source')}) for what this one does better"
        )
    if isinstance(base, str):
        file = store.model_file(base)
        if file.exists() and digest_files(file) != provenance.get("base_sha256"):
            precision = str(provenance["precision"])
            photos = " --calibration PHOTOS" if precision == "int8" else ""
            facts.append(
                f"{name} was made of other weights than {base} has now: make it again with "
                f"`tritonpose models variant {base} --precision {precision}{photos}`"
            )
    return facts


def make_variant(
    store: ModelStore,
    name: str,
    precision: VariantPrecision,
    images: Sequence[Path],
    progress: Progress,
    detector: str | None = None,
    *,
    has_bf16: Callable[[], bool] | None = None,
) -> Path:
    """Make the variant ``NAME-PRECISION`` of an installed model, replacing one that exists.

    ``images``, files and directories, calibrate ``int8``; in them ``detector``, by default the open
    one, finds people for a keypoint model. A CPU without bf16, or images or a detector that can't
    be used, are an `EmbeddedServerError`; files that can't be read an `InputError`.
    """
    read_base(store, name)
    if precision == "bf16":
        if images:
            raise EmbeddedServerError("bf16 needs no calibration images")
        # Only here: the extra `models` alone has no OpenVINO.
        from tritonpose_server.engines.openvino import cpu_has_bf16

        if not (has_bf16 or cpu_has_bf16)():
            raise EmbeddedServerError(
                "this machine's CPU has no bf16 instructions, so bf16 would gain nothing: use "
                "int8 or FP32"
            )
        return make_bf16(store, name)
    from tritonpose_server.models.calibration import calibration_inputs

    inputs = calibration_inputs(store, name, images, detector or DEFAULT_DETECTOR)
    progress(f"{name}: calibrating with {len(inputs)} inputs")
    return make_int8(store, name, inputs)


def make_bf16(store: ModelStore, name: str) -> Path:
    """Make or replace ``NAME-bf16``: the same file, computed in bfloat16 by OpenVINO."""
    base = read_base(store, name)
    if base.config.backend != "openvino":
        raise ConversionError(
            f"bf16 is for models of the backend openvino, {name!r} has {base.config.backend!r}"
        )
    return _add_variant(store, base, "bf16", base.model)


def make_int8(store: ModelStore, name: str, calibration: Iterable[npt.NDArray[np.uint8]]) -> Path:
    """Make or replace the variant ``NAME-int8``: most convolutions in 8-bit integers.

    ``calibration`` are typical inputs of the model, uint8 ``[h, w, 3]`` RGB: photos that resemble
    those to come, and other ones than accuracy is measured on.
    """
    import onnxruntime

    from tritonpose_server.models.graph import onnx_graph
    from tritonpose_server.models.graph.quantization import quantize_model

    base = read_base(store, name)
    images = list(calibration)
    model = quantize_model(onnx_graph.load_model(base.model), images)
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.tobytes())
    facts = {
        "calibration_inputs": len(images),
        "calibration_sha256": digest.hexdigest(),
        "quantizer": f"onnxruntime {onnxruntime.__version__}",
    }
    return _add_variant(store, base, "int8", model, facts)


def _add_variant(
    store: ModelStore,
    base: BareModel,
    precision: VariantPrecision,
    model: onnx.ModelProto | Path,
    facts: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """Put a variant into the store, with facts of how it was made."""
    there = store.provenance(f"{base.name}-{precision}")
    if there is not None and there.get("base") != base.name:
        raise ConversionError(
            f"a model of your own is installed as '{base.name}-{precision}', the name of the "
            "variant: remove it, or install it under another name"
        )
    config = deepcopy(base.config)
    config.name = f"{base.name}-{precision}"
    if precision == "bf16":
        config.parameters["HINT_BF16"].string_value = "YES"
    provenance = {
        **base.provenance,
        "base": base.name,
        "base_sha256": digest_files(base.model),
        "precision": precision,
        **facts,
    }
    # How far the base agrees with its source says nothing about the variant.
    provenance.pop("agreement", None)
    return store.add(config.name, ModelFiles(model, config, provenance))
