"""Milliseconds that networks take on this machine, in torch and in onnxruntime."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from oamip_model.clock import tick
from oamip_model.network.maps import Shape
from oamip_model.pruning.budgets.options import ENGINES
from oamip_model.pruning.mask import clean_copy, example_images, make_permanent
from oamip_model.pruning.save import save_module

BATCHES = (1, 64)
"""Images at a time: one, as in a device that waits for it, and many."""
_ROUNDS, _SECONDS = 30, 1.0
"""Calls of each module at least three, at most so many, within about so many seconds a batch size."""
Milliseconds = dict[str, dict[int, float]]
Sized = Mapping[str, tuple[nn.Module, Shape]]
"""Modules by name, each with the shape of one image."""
Call = Callable[[torch.Tensor], object]


def measure_milliseconds(
    modules: Mapping[str, nn.Module], input_shape: Shape, batches: Sequence[int] = BATCHES
) -> dict[str, Milliseconds]:
    """Median milliseconds of a batch by module, engine and number of images.

    They are {name: {engine: {images at a time: milliseconds}}}. The engines are "torch", with the threads that it has,
    and "onnxruntime" on one CPU, where that is installed. Calls of all modules take turns, so that a machine that gets
    slower treats them alike. Masks are made permanent first.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> measure_milliseconds({"dense": module}, (4,), batches=(1,))["dense"]["torch"][1] > 0
    True
    """
    found: dict[str, Milliseconds] = {name: {} for name in modules}
    sized = {name: (module, input_shape) for name, module in modules.items()}
    for engine in ENGINES:
        if engine == "onnxruntime" and not has_onnxruntime():
            continue
        calls = callers(engine, sized)
        for batch in batches:
            images = example_images(input_shape, count=batch)
            bound = {name: partial(call, images) for name, call in calls.items()}
            for name, seconds in median_seconds(bound, _ROUNDS, _SECONDS).items():
                found[name].setdefault(engine, {})[batch] = 1000 * seconds
    return found


def median_seconds(calls: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """Median seconds of each call, which take turns.

    There are at least three rounds and at most ``rounds``, within about so many seconds a call.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # the first call allocates and compiles
    began = time.perf_counter()
    for number in range(rounds):
        tick("measuring milliseconds")
        if number >= 3 and time.perf_counter() - began > seconds * len(calls):
            break
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(spent)) for name, spent in taken.items()}


def has_onnxruntime() -> bool:
    """Whether onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def callers(engine: str, modules: Sized) -> dict[str, Call]:
    """Calls of the modules with images (n, *shape), by name, in one engine."""
    return _torch_calls(modules) if engine == "torch" else _onnx_calls(modules)


def _torch_calls(modules: Sized) -> dict[str, Call]:
    def caller(module: nn.Module) -> Call:
        plain = make_permanent(clean_copy(module)).eval()

        def call(images: torch.Tensor) -> object:
            with torch.inference_mode():
                return plain(images)

        return call

    return {name: caller(module) for name, (module, _) in modules.items()}


def _onnx_calls(modules: Sized) -> dict[str, Call]:
    import onnxruntime

    def caller(path: Path) -> Call:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images.numpy()})

    with tempfile.TemporaryDirectory() as folder:
        return {
            name: caller(save_module(module, Path(folder) / f"{number}.onnx", shape))
            for number, (name, (module, shape)) in enumerate(modules.items())
        }
