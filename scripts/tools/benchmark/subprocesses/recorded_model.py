"""A Triton model that gives recorded answers, at once or after a wait.

Copied into a model's directory as ``model.py``. Beside it lies ``answers.npz``, with the outputs by
name; the configuration's parameter ``wait_s`` has the seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

_MOST_WAITING = 256


class TritonPythonModel:
    """Entry point for Triton."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the answers."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._wait_s = float(parameters["wait_s"]["string_value"])
        with np.load(f"{args['model_repository']}/{args['model_version']}/answers.npz") as file:
            self._answers = {name: file[name] for name in file.files}
        self._threads = ThreadPoolExecutor(_MOST_WAITING)

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """Answer requests, or let them wait, all at the same time."""
        counts = [
            len(pb_utils.get_input_tensor_by_name(each, "image").as_numpy()) for each in requests
        ]
        if not self._wait_s:
            return [self._answer(count) for count in counts]
        for each, count in zip(requests, counts, strict=True):
            self._threads.submit(self._answer_late, each.get_response_sender(), count)
        return None

    def finalize(self) -> None:
        """Finish the requests that wait."""
        self._threads.shutdown()

    def _answer(self, count: int) -> Any:
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.resize(answer, (count, *answer.shape[1:])))
                for name, answer in self._answers.items()
            ]
        )

    def _answer_late(self, sender: Any, count: int) -> None:
        time.sleep(self._wait_s)
        sender.send(self._answer(count), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
