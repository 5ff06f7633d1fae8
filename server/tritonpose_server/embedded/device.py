"""Devices that models compute on, as PaddleX names them, and checks that they can be used here."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonpose.errors import ConfigError
from tritonpose_server.errors import EmbeddedServerError

_NVIDIA = re.compile(r"gpu(?::(?P<numbers>\d+(?:,\d+)*))?", re.IGNORECASE)
_OTHER_ACCELERATORS = re.compile(
    r"(npu|xpu|mlu|gcu|dcu|iluvatar_gpu|metax_gpu)(:\d+(,\d+)*)?", re.IGNORECASE
)

_INSTEAD = "or use --device cpu, or --url of a server that has a GPU"


@dataclass(frozen=True)
class Device:
    """The CPU, or NVIDIA GPUs of one kind, by their numbers from 0."""

    gpus: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read a device as PaddleX has it: ``cpu``, ``gpu`` (the first), ``gpu:1`` or ``gpu:0,1``.

        Case doesn't matter. Raises ConfigError for all else, and for what Triton does not compute
        on.
        """
        if text.lower() == "cpu":
            return cls()
        match = _NVIDIA.fullmatch(text)
        if match:
            numbers = (match["numbers"] or "0").split(",")
            return cls(tuple(dict.fromkeys(map(int, numbers))))
        if _OTHER_ACCELERATORS.fullmatch(text):
            raise ConfigError(
                f"device {text!r}: models run on CPUs and NVIDIA GPUs here; choose cpu or gpu:0, "
                "or keep PaddleX for this device"
            )
        raise ConfigError(f"device {text!r}: expected cpu, gpu, gpu:0 or gpu:0,1")

    def __str__(self) -> str:
        return f"gpu:{','.join(map(str, self.gpus))}" if self.gpus else "cpu"


def require_gpus(numbers: Sequence[int]) -> None:
    """Check that GPUs, counted from 0 among those visible, can be used to serve.

    The message of EmbeddedServerError says what is missing and how to get it.
    """
    if not numbers:
        return
    require_visible(numbers, _INSTEAD)
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise EmbeddedServerError(
            "the installed ONNX Runtime computes on CPUs only: run `pip uninstall onnxruntime` "
            f"and `pip install 'onnxruntime-gpu[cuda,cudnn]'`, {_INSTEAD}"
        )


def require_visible(numbers: Sequence[int], instead: str) -> None:
    """Check that there are these GPUs, counted from 0 among visible ones; else EmbeddedServerError.

    ``instead`` is what else the user can do: the end of a sentence, beginning with "or".
    """
    count = count_gpus()
    if count == 0:
        raise EmbeddedServerError(
            "no NVIDIA GPU is visible here: its driver is missing, or a container was started "
            f"without --gpus, or CUDA_VISIBLE_DEVICES hides it; fix that, {instead}"
        )
    absent = [number for number in numbers if number >= count]
    if absent:
        raise EmbeddedServerError(
            f"there is no GPU {absent[0]}: {count} can be seen here, counted from 0; choose among "
            f"these, {instead}"
        )


def visible_devices(number: int, environment: Mapping[str, str]) -> str:
    """``CUDA_VISIBLE_DEVICES`` for a program that is to see only one of the GPUs visible here."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES", "")
    visible = [entry.strip() for entry in hidden.split(",") if entry.strip()]
    return visible[number] if number < len(visible) else str(number)


@functools.cache
def count_gpus() -> int:
    """Count the NVIDIA GPUs that programs of this environment can use."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    # Both return 0 for success; they heed CUDA_VISIBLE_DEVICES, as Triton does.
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
