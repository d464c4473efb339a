"""Weights of a refitted network, put into the module that it was read from."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from oamip_model.network.maps import Array
from oamip_model.network.types import Layer, Network
from oamip_model.pruning.mask import Norm, NotWiredError, batch_norms, clean_copy


def with_weights(module: nn.Module, before: Network, after: Network) -> nn.Module:
    """A copy of the module with the weights of ``after``.

    ``before`` is the module's network.

    A batch norm after a layer keeps its statistics. The layer's weights are divided by its scale. A
    bias that was not
    there is added. Weights that several modules share are no longer shared once they are changed.

    Raises NotWiredError where a changed layer is not an nn.Linear or nn.Conv2d of the module, or its batch norm cannot
    carry the change.
    """
    copy = clean_copy(module)
    norms = batch_norms(copy, before.input_shape)
    for old, new in zip(before.layers, after.layers, strict=True):
        _put_layer(copy, norms, old, new)
    return copy


def _put_layer(module: nn.Module, norms: dict[str, list[str]], old: Layer, new: Layer) -> None:
    shift = new.bias - old.bias if new.bias is not old.bias else None
    for first, second in zip(old.terms, new.terms, strict=True):
        if second.map is first.map:
            continue
        trained = second.map.trained
        assert trained is not None
        part = _part(module, second.name)
        norm = _norm(module, norms.get(second.name, []), len(trained.weight))
        scale = np.ones(len(trained.weight)) if norm is None else _scale(norm)
        weight = trained.weight / scale.reshape((-1,) + (1,) * (trained.weight.ndim - 1))
        if part.weight.shape != weight.shape:
            raise NotWiredError(f"module {second.name} has weights of shape {tuple(part.weight.shape)}")
        _set(part, "weight", weight)
        if shift is not None:
            target = part if norm is None or norm.bias is None else norm
            _add(target, part, shift / (scale if target is part else 1.0))
            shift = None
    if shift is not None and shift.any():
        raise NotWiredError(f"layer {new.name} has a new bias and no new weights")


def _part(module: nn.Module, path: str) -> nn.Linear | nn.Conv2d:
    try:
        part = module.get_submodule(path)
    except AttributeError:
        raise NotWiredError(f"there is no module {path}") from None
    if type(part) not in (nn.Linear, nn.Conv2d) or torch_prune.is_pruned(part):
        raise NotWiredError(f"module {path} is a {type(part).__name__} whose weights cannot be set")
    return part  # type: ignore[return-value]


def _norm(module: nn.Module, paths: list[str], units: int) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    if not paths:
        return None
    norm = module.get_submodule(paths[0])
    if len(paths) > 1 or not isinstance(norm, Norm) or norm.num_features != units or torch_prune.is_pruned(norm):
        raise NotWiredError(f"the batch norm {paths[0]} cannot carry refitted weights")
    return norm


def _scale(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Array:
    if norm.running_var is None:
        raise NotWiredError("a batch norm without running statistics cannot carry refitted weights")
    scale = 1.0 / np.sqrt(norm.running_var.detach().double().cpu().numpy() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double().cpu().numpy()
    if (np.abs(scale) < 1e-12).any():
        raise NotWiredError("a batch norm with a scale of 0 cannot carry refitted weights")
    return np.asarray(scale)


def _set(part: nn.Module, name: str, values: Array) -> None:
    like = next(part.parameters())
    flag = like.requires_grad
    setattr(part, name, nn.Parameter(torch.as_tensor(values).to(like), flag))


def _add(target: nn.Module, part: nn.Module, shift: Array) -> None:
    known = target.bias
    if known is None and not shift.any():
        return
    total = shift if known is None else known.detach().double().cpu().numpy() + shift  # type: ignore[operator]
    _set(target if known is not None else part, "bias", total)
