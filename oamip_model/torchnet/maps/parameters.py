"""Modules with given weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from oamip_model.network.maps import Array

Module = TypeVar("Module", bound=nn.Module)


def with_parameters(module: Module, weight: Array, bias: Array | None) -> Module:
    """The module itself, with this weight, and this bias where there is one."""
    with torch.no_grad():
        module.get_parameter("weight").copy_(torch.tensor(weight))
        if bias is not None:
            module.get_parameter("bias").copy_(torch.tensor(bias))
    return module
