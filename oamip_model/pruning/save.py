"""Modules as files: .onnx and .pt2, with a free batch size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from oamip_model.errors import CheckError, InputError
from oamip_model.files import check_writable, replacing
from oamip_model.network import read_network
from oamip_model.network.reader import check_shape
from oamip_model.network.readers.torch.quiet import quiet
from oamip_model.pruning.check import TOLERANCE, expected_logits
from oamip_model.pruning.mask import clean_copy, example_images, make_permanent


def save_module(module: nn.Module, path: str | Path, input_shape: Sequence[int]) -> Path:
    """Write the module as .onnx or .pt2, by the path's suffix, and return the path.

    The file takes batches of any size. Masks of torch.nn.utils.prune, weight norm and the like are made
    permanent in it. The file is read back before it takes its place, and must give the same logits to
    1e-5.

    Parameters
    ----------
    module : torch.nn.Module
        A module in eval mode.
    path : str or Path
        The file, which ends in .onnx or .pt2.
    input_shape : sequence of int
        Shape of one image.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    InputError
        For another suffix, a path that cannot be written, or a module that cannot be exported.
    CheckError
        Where the file that is read back differs.

    Examples
    --------
    >>> import tempfile, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     om.read_network(save_module(module, f"{folder}/small.onnx", (4,))).classes
    2
    """
    target = Path(path)
    if target.suffix not in (".onnx", ".pt2"):
        raise InputError(f"path: {target} ends in {target.suffix or 'no suffix'}, a module is saved as .onnx or .pt2")
    check_writable(target)
    copy = make_permanent(clean_copy(module)).eval()
    example = example_images(check_shape(input_shape), like=copy)
    # Into memory first: torch's own writer aborts the process where a disk is full.
    buffer = io.BytesIO()
    with replacing(target) as temporary:
        try:
            with quiet():
                if target.suffix == ".onnx":
                    torch.onnx.export(  # its types know no file in memory, which it takes
                        copy, (example,), buffer, dynamo=False,  # type: ignore[arg-type]
                        input_names=["images"], output_names=["logits"],
                        dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
                        # Batch norm is kept as a layer of its own. The exporter would fold it in single precision, and
                        # rounding would make the file's network another one.
                        training=torch.onnx.TrainingMode.PRESERVE,
                    )  # fmt: skip
                else:
                    batch = torch.export.Dim("batch")
                    torch.export.save(torch.export.export(copy, (example,), dynamic_shapes=({0: batch},)), buffer)
        except Exception as problem:  # torch raises many kinds, all of which mean that this module cannot be exported
            line = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
            raise InputError(
                f"path: torch cannot export {type(module).__name__} as {target.suffix} ({line})"
            ) from problem
        temporary.write_bytes(buffer.getbuffer())
        found = expected_logits(read_network(temporary)).difference(copy)
        if found > TOLERANCE:
            raise CheckError(f"path: what was written to {target} differs from the module by {found:.2g}")
    return target
