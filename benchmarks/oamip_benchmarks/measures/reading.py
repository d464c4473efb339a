"""CPU seconds and peak memory of reading a large network.

Run: python -m oamip_benchmarks.measures.reading --megabytes 100 --megabytes 500

The replay of the network against its source is measured with it, and apart.

Each file is made on the fly, of random weights: a dense network, or a convolutional one. It is read in a process of its
own. The system's seconds are those in which it finds memory for the numbers, which differ from machine to machine.
Memory is what the process holds at its peak beyond what it held before, in multiples of the file's size. The replay
runs the source by another program (onnxruntime or torch), which loads the file for itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

KINDS = ("dense", "convolutional")
ROUTES = ("gemm", "matmul", "pt2", "module")


def make(path: Path, kind: str, megabytes: float, route: str) -> tuple[int, ...]:
    """Write a network of so many megabytes, and return the shape of an image.

    ``route`` is ``gemm`` or ``matmul``, for an .onnx file with weights by output or by input, or ``pt2``; a module is
    made where it is read.
    """
    sizes, shape = _sizes(kind, megabytes)
    if route == "pt2":
        import torch

        program = torch.export.export(_module(kind, sizes), (torch.zeros(2, *shape),))
        torch.export.save(program, path)
    else:
        _make_onnx(path, kind, sizes, shape, route)
    return shape


def _sizes(kind: str, megabytes: float) -> tuple[list[int], tuple[int, ...]]:
    """Sizes of the layers, and the shape of an image."""
    numbers = megabytes * 1e6 / 4
    if kind == "dense":
        width = max(int(np.sqrt(numbers / 3)), 8)
        return [width, width, width, width, 10], (width,)
    width = max(int(np.sqrt(numbers / 3 / 9)), 8)
    return [3, width, width, width, width, 10], (3, 8, 8)


def _weights(kind: str, sizes: list[int], place: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    kernel = (3, 3) if kind == "convolutional" and place < len(sizes) - 2 else ()
    shape = (sizes[place + 1], sizes[place], *kernel)
    random = np.random.default_rng(place)
    return random.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))


def _make_onnx(path: Path, kind: str, sizes: list[int], shape: tuple[int, ...], route: str) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, at = [], [], "x"
    for place in range(len(sizes) - 1):
        weight, last = _weights(kind, sizes, place), place == len(sizes) - 2
        name = f"layer{place}"
        if weight.ndim == 4:
            nodes.append(helper.make_node("Conv", [at, f"{name}.weight", f"{name}.bias"], [name], pads=[1, 1, 1, 1]))
        else:
            if kind == "convolutional":
                nodes.append(helper.make_node("GlobalAveragePool", [at], ["mean"]))
                nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
                at = "flat"
            if route == "gemm":
                nodes.append(helper.make_node("Gemm", [at, f"{name}.weight", f"{name}.bias"], [name], transB=1))
            else:
                weight = np.ascontiguousarray(weight.T)
                nodes.append(helper.make_node("MatMul", [at, f"{name}.weight"], [f"{name}.product"]))
                nodes.append(helper.make_node("Add", [f"{name}.product", f"{name}.bias"], [name]))
        tensors.append(numpy_helper.from_array(weight, f"{name}.weight"))
        tensors.append(numpy_helper.from_array(np.zeros(sizes[place + 1], np.float32), f"{name}.bias"))
        at = name
        if not last:
            nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"]))
            at = f"{name}.relu"
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, ["n", sizes[-1]])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save_model(model, path)


def _module(kind: str, sizes: list[int]) -> nn.Module:
    import torch
    from torch import nn

    parts: list[nn.Module] = []
    for place in range(len(sizes) - 1):
        weight, last = _weights(kind, sizes, place), place == len(sizes) - 2
        layer: nn.Module
        if weight.ndim == 4:
            layer = nn.Conv2d(sizes[place], sizes[place + 1], 3, padding=1)
        else:
            parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if kind == "convolutional" else []
            layer = nn.Linear(sizes[place], sizes[place + 1])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
        parts += [layer] if last else [layer, nn.ReLU()]
    return nn.Sequential(*parts).eval()


def read_here(path: Path, replay: bool, made: tuple[str, float]) -> tuple[float, float, float]:
    """CPU seconds of reading a file here, the system's, and the peak in megabytes.

    What the process held before does not count. Without a file it is a module of this kind and size.
    """
    import onnxruntime  # noqa: F401  # what is imported counts for neither
    import torch  # noqa: F401

    import oamip_model as om
    from oamip_model.network import reader

    if not replay:
        vars(reader)["check_replay"] = lambda network, source: None
    with tempfile.TemporaryDirectory() as folder:
        suffix, route = (".onnx", "gemm") if path.suffix == ".onnx" else (".pt2", "pt2")
        small = Path(folder) / f"small{suffix}"
        make(small, "dense", 0.01, route)
        om.read_network(small)  # nor does what is loaded on the first call
    sizes, shape = _sizes(*made)
    source = path if path.suffix else _module(made[0], sizes)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew from here
    before = _memory("VmRSS")
    began = os.times()
    network = om.read_network(source, shape)
    ended = os.times()
    assert network.layers
    return ended.user - began.user, ended.system - began.system, _memory("VmHWM") - before


def _memory(what: str) -> float:
    """Megabytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024 / 1e6


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description="CPU seconds and peak memory of reading a large network.")
    parser.add_argument("--megabytes", type=float, action="append")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--route", choices=ROUTES, action="append")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replay", choices=("yes", "no"), action="append", help="with the replay, without, or both")
    options = parser.parse_args()
    replays = options.replay or ["yes", "no"]
    if options.read is not None:
        print(*read_here(options.read, replays[0] == "yes", (options.kind[0], options.megabytes[0])))
        return
    print("file                         MB    replay   user s  system s   peak MB   of the file")
    for megabytes in options.megabytes or [100.0]:
        for kind in options.kind or KINDS:
            for route in options.route or ROUTES:
                if (kind, route) == ("convolutional", "matmul"):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    path, size = Path(folder) / {"pt2": "net.pt2", "module": "net"}.get(route, "net.onnx"), megabytes
                    if route != "module":
                        make(path, kind, megabytes, route)
                        size = path.stat().st_size / 1e6
                    for replay in replays:
                        command = [sys.executable, "-m", "oamip_benchmarks.measures.reading", "--read", str(path)]
                        more = ["--replay", replay, "--kind", kind, "--megabytes", str(megabytes)]
                        done = subprocess.run([*command, *more], capture_output=True, text=True)
                        if done.returncode:
                            print(f"{kind} {route}: {done.stderr.strip().splitlines()[-1]}")
                            continue
                        user, system, peak = map(float, done.stdout.split())
                        print(
                            f"{f'{kind}, {route}':<26} {size:5.0f}    {replay:<6} {user:8.2f} {system:9.2f} "
                            f"{peak:9.0f} {peak / size:9.1f}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
