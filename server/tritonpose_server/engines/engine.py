"""What an inference engine must offer to serve a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tritonpose_server.engines.config import EngineConfig

Array = npt.NDArray[np.generic]


class Stream(Protocol):
    """Runs one batch at a time; the streams of a model run side by side."""

    def load(self, parts: Mapping[str, Sequence[Array]]) -> None:
        """Copy the next batch in.

        Args:
            parts: For each input the pieces that make up the batch, ``[b, ...]`` each.
        """
        ...

    def run(self) -> Sequence[Array]:
        """Run the loaded batch.

        Returns:
            Outputs ``[sum of b, ...]`` in the order of the configuration, valid until the next
            batch is loaded.
        """
        ...


class Engine(Protocol):
    """Loads a model."""

    def __call__(self, config: EngineConfig) -> Sequence[Stream]:
        """Load a model.

        Args:
            config: Its configuration.

        Returns:
            Its streams.

        Raises:
            EngineConfigError: It can't be loaded, or is not what its configuration says.
        """
        ...
