"""GPU memory by CUDA's driver alone, which every machine with a GPU has.

Names and signatures: https://docs.nvidia.com/cuda/cuda-driver-api/
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tritonpose_server.errors import EmbeddedServerError


class CudaDriver:
    """A GPU's primary context and a stream in it, for the thread that makes it."""

    def __init__(self, gpu: int) -> None:
        """Use a GPU.

        Args:
            gpu: Its number, from 0.

        Raises:
            EmbeddedServerError: There is no driver, or it reports an error.
        """
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise EmbeddedServerError(f"CUDA's driver can't be loaded: {error}") from error
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), gpu)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._call("cuStreamCreate", ctypes.byref(stream), 1)  # non-blocking
        self.stream = int(stream.value or 0)

    def allocate(self, size: int) -> int:
        """Address of ``size`` bytes on the GPU, which live as long as the process."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def upload(self, address: int, array: np.ndarray[Any, np.dtype[Any]]) -> None:
        """Copy a contiguous array to the GPU."""
        source = ctypes.c_void_p(array.ctypes.data)
        size = ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, size)

    def download(self, array: np.ndarray[Any, np.dtype[Any]], address: int) -> None:
        """Fill a contiguous array from the GPU."""
        target = ctypes.c_void_p(array.ctypes.data)
        size = ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyDtoH_v2", target, ctypes.c_uint64(address), size)

    def wait(self) -> None:
        """Wait for the stream."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise EmbeddedServerError(f"CUDA's driver reports error {status} for {name}")
