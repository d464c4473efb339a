"""Modules as they compute, with layers and weights that are plain ones.

Wrappers and reparametrisations are taken off.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
_OLD_NORMS = (WeightNorm, SpectralNorm)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module within its wrappers.

    They are DataParallel, DistributedDataParallel, AveragedModel and what torch.compile puts around it.

    Examples
    --------
    >>> type(unwrapped(nn.DataParallel(nn.Linear(2, 1)))).__name__
    'Linear'
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        inner = module.module if isinstance(module, _WRAPPERS) else inner
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def deep_copy(module: nn.Module) -> nn.Module:
    """A deep copy, of modules too which copy.deepcopy refuses.

    It refuses those whose weights are computed from others.
    """
    with torch.no_grad():
        for part in module.modules():
            for hook in part._forward_pre_hooks.values():
                if isinstance(hook, (torch_prune.BasePruningMethod, *_OLD_NORMS)) and not part.training:
                    hook(part, None)  # the weight as it is now
    attributes = [value for part in module.modules() for value in vars(part).values()]
    memo = {id(t): t.detach().clone() for t in attributes if isinstance(t, torch.Tensor)}
    return copy.deepcopy(module, memo)


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy of the module that holds the very same tensors."""
    attributes = [value for part in module.modules() for value in vars(part).values()]
    tensors = [*module.parameters(), *module.buffers(), *(t for t in attributes if isinstance(t, torch.Tensor))]
    return copy.deepcopy(module, {id(t): t for t in tensors})


def with_plain_weights(module: nn.Module) -> nn.Module:
    """The module with plain weights, changed in place.

    Weight norm, spectral norm and parametrisations become the weights they give. Masks of
    torch.nn.utils.prune are kept.
    """
    for part in list(module.modules()):
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(part, hook.name)
        if parametrize.is_parametrized(part):
            _remove_parametrizations(part)
    return module


def _remove_parametrizations(part: nn.Module) -> None:
    # Not torch's own function, which changes the class, and so the module that was copied.
    values = {}
    for name, made in part._modules["parametrizations"].named_children():  # type: ignore[union-attr]
        flags = [p.requires_grad for p in made.parameters(recurse=False)]
        with torch.no_grad():
            values[name] = (getattr(part, name).detach().clone(), flags)
    part.__class__ = parametrize.type_before_parametrizations(part)
    del part._modules["parametrizations"]
    for name, (value, flags) in values.items():
        if flags:
            part.register_parameter(name, nn.Parameter(value, any(flags)))
        else:
            part.register_buffer(name, value)


def hooked(module: nn.Module) -> Iterator[str]:
    """Names of the layers with a hook of the user's own around their forward pass."""
    known = (torch_prune.BasePruningMethod, *_OLD_NORMS)
    for name, part in module.named_modules():
        hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
        if any(not isinstance(hook, known) for hook in hooks):
            yield name


def in_double(module: nn.Module) -> nn.Module:
    """The module in double precision.

    It is changed in place, tensors among its attributes included. Weights that torch.nn.utils.prune
    masks are such tensors, as are those of weight norm.
    """
    module.double()
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                setattr(part, name, value.double())
    return module
