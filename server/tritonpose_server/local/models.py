"""Runs models in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from google.protobuf import json_format

from tritonpose_pipeline.errors import ModelError, ModelFailedError, ModelUnavailableError
from tritonpose_pipeline.limits import ComputeSlots
from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_server.engines.engine import Engine, EngineConfig, EngineConfigError, LoadedModel
from tritonpose_server.local.options import EngineName, LocalOptions
from tritonpose_server.models.home import compiled_directory


class LocalModels:
    """Loads models when they are first used, and runs them. Thread-safe.

    It is what the pipeline takes as ``RunModel``.
    """

    def __init__(self, roots: Sequence[Path], options: LocalOptions, slots: ComputeSlots) -> None:
        """Take the directories that hold the models' directories, in the order to look.

        The slot of a calling thread is given to others while it waits for a model.
        """
        self._roots = roots
        self._options = options
        self._slots = slots
        self._engine = _load_engine(options.engine)
        self._loaded: dict[str, tuple[EngineConfig, LoadedModel]] = {}
        # One for each model: several are loaded at a time.
        self._locks: dict[str, threading.Lock] = {}

    def load(self, name: str) -> tuple[EngineConfig, LoadedModel]:
        """Load a model, unless it is loaded; raise ModelUnavailableError if it can't be."""
        with self._locks.setdefault(name, threading.Lock()):
            if name not in self._loaded:
                try:
                    config = self._config(name)
                    self._loaded[name] = config, self._engine(config)
                except (EngineConfigError, ModelError, OSError) as error:
                    raise ModelUnavailableError(str(error)) from error
            return self._loaded[name]

    def __call__(
        self, model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        """Run ``model`` on ``images`` (see ``RunModel``).

        ModelUnavailableError: it can't be loaded. ModelFailedError: it failed.
        """
        with self._slots.yielded():
            config, loaded = self.load(model)
            try:
                found = loaded.run({config.inputs[0].name: np.ascontiguousarray(images)})
            except Exception as error:  # engines' errors have no common base class
                raise ModelFailedError(f"model {model!r}: {error}") from error
        by_name = dict(zip((tensor.name for tensor in config.outputs), found, strict=True))
        return [np.asarray(by_name[name], np.float32) for name in outputs]

    def _config(self, name: str) -> EngineConfig:
        directories = [root / name for root in self._roots]
        directory = next((each for each in directories if each.is_dir()), directories[0])
        config = read_config(directory / CONFIG_FILE)
        for key, value in self._options.parameters.items():
            config.parameters[key].string_value = value
        args = {
            "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
            "model_repository": str(directory),
            "model_version": "1",
        }
        if self._options.gpu is not None:
            args |= {
                "model_instance_kind": "GPU",
                "model_instance_device_id": str(self._options.gpu),
            }
        return EngineConfig.from_triton(args)


def _load_engine(name: EngineName) -> Engine:
    """Import an engine, which takes longer than importing the rest."""
    if name == "openvino":
        from tritonpose_server.engines.compiled import CompiledModels
        from tritonpose_server.engines.openvino import OpenVinoEngine

        directory = compiled_directory()
        return OpenVinoEngine(compiled=None if directory is None else CompiledModels(directory))
    from tritonpose_server.engines.onnxruntime import load_onnxruntime

    return load_onnxruntime
