"""Runs a Paddle model; executed inside the environment of `PADDLE_ENVIRONMENT`.

Usage: ``python -I run_model.py MODEL PARAMETERS INPUTS OUTPUTS``

INPUTS and OUTPUTS are ``.npz`` files. Input arrays are named ``CASE/INPUT``, outputs
``CASE/INDEX``; cases are numbered from 0 and run one after the other.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import paddle.inference  # type: ignore[import-not-found]


def main(model: str, parameters: str, inputs: str, outputs: str) -> None:
    """Run all cases."""
    predictor = paddle.inference.create_predictor(_configuration(model, parameters))
    results = {}
    with np.load(inputs) as arrays:
        for case in range(len({name.partition("/")[0] for name in arrays})):
            for name in predictor.get_input_names():
                array = arrays[f"{case}/{name}"]
                handle = predictor.get_input_handle(name)
                handle.reshape(array.shape)
                handle.copy_from_cpu(array)
            predictor.run()
            for index, name in enumerate(predictor.get_output_names()):
                results[f"{case}/{index}"] = predictor.get_output_handle(name).copy_to_cpu()
    np.savez(outputs, **results)


def _configuration(model: str, parameters: str) -> paddle.inference.Config:
    """Configure Paddle as PaddleX does on a CPU with ``run_mode: paddle``: its own kernels."""
    config = paddle.inference.Config(model, parameters)
    config.disable_gpu()
    config.disable_mkldnn()
    config.set_cpu_math_library_num_threads(len(os.sched_getaffinity(0)))
    config.enable_new_ir(True)
    config.enable_new_executor()
    config.set_optimization_level(3)
    config.enable_memory_optim()
    config.disable_glog_info()
    return config


if __name__ == "__main__":
    main(*sys.argv[1:])
