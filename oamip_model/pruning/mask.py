"""Masking: weights and biases of removed units are set to zero.

The module's shapes are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from oamip_model.network.maps import Shape
from oamip_model.network.readers.torch.plain import deep_copy, unwrapped, with_plain_weights
from oamip_model.scoring.select import Mask

Norm = (nn.BatchNorm1d, nn.BatchNorm2d)
Weighted = (nn.Linear, nn.Conv2d, *Norm)


class NotWiredError(Exception):
    """The layers are not where the network says.

    The module has to be rebuilt. This error never leaves the room.
    """


def masked_copy(
    module: nn.Module, producers: Mapping[str, Iterable[str]], keep: Mapping[str, Mask], input_shape: Shape
) -> nn.Module:
    """A copy of the module in which removed units give 0, by torch.nn.utils.prune.

    Rows of the weight and entries of the bias are masked. Those of a batch norm before the ReLU are
    masked too, since its shift would be passed on. A batch norm without weight and bias gets ones
    and zeros first.

    Parameters
    ----------
    module : torch.nn.Module
        The module, which is not changed.
    producers : mapping of str to sequence of str
        The paths of the modules whose outputs are the units of each group.
    keep : mapping of str to array of bool
        The mask of each group, (units,).
    input_shape : sequence of int
        Shape of one input.

    Returns
    -------
    torch.nn.Module
        The masked copy.

    Raises
    ------
    NotWiredError
        Where a path holds no nn.Linear, nn.Conv2d or batch norm of as many rows as there are units.
    """
    result = clean_copy(module)
    mask_units(result, producers, keep, batch_norms(result, input_shape))
    return result


def mask_units(
    module: nn.Module,
    producers: Mapping[str, Iterable[str]],
    keep: Mapping[str, Mask],
    following: Mapping[str, Sequence[str]],
) -> None:
    """Mask the units that are not kept, in the module itself.

    Its parameters are the same objects as before.

    producers, keep, errors: those of :func:`masked_copy`; following: what :func:`batch_norms` found.
    """
    for group, mask in keep.items():
        if mask.all():
            continue
        paths = list(producers[group])
        paths += [path for name in paths for path in following.get(name, ()) if path not in paths]
        for path in dict.fromkeys(paths):
            _mask_rows(_find(module, path), path, mask)


def clean_copy(module: nn.Module) -> nn.Module:
    """A deep copy of what is in a wrapper, with plain weights.

    It may be masked by torch.nn.utils.prune or not.
    """
    return with_plain_weights(deep_copy(unwrapped(module)))


def make_permanent(module: nn.Module) -> nn.Module:
    """The module with its masks multiplied into its weights.

    It is changed in place, and the masks are taken off. The function is the same.
    """
    for part in module.modules():
        if torch_prune.is_pruned(part):
            for name in ("weight", "bias"):
                if hasattr(part, f"{name}_orig"):
                    # A copy, since taking the mask off writes into the parameter, which another module may share.
                    original = part.get_parameter(f"{name}_orig")
                    part.register_parameter(
                        f"{name}_orig", nn.Parameter(original.detach().clone(), original.requires_grad)
                    )
                    torch_prune.remove(part, name)  # type: ignore[no-untyped-call]
    return module


def without_made_affine(module: nn.Module) -> nn.Module:
    """The module without the ones and zeros that masking gave its batch norms.

    It is changed in place.
    """
    for part in module.modules():
        if not isinstance(part, Norm) or not part.__dict__.pop("made_affine", False):
            continue
        if bool((part.weight == 1).all()) and bool((part.bias == 0).all()):
            part.affine = False
            part.weight = part.bias = None  # type: ignore[assignment]
    return module


def batch_norms(module: nn.Module, input_shape: Shape) -> dict[str, list[str]]:
    """Batch norms between each layer with weights and the ReLU after it.

    One forward pass finds them. From the input of each batch norm the autograd graph is followed
    back to ReLUs and layers with weights, through additions, pooling and reshapes.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    input_shape : sequence of int
        Shape of one input.

    Returns
    -------
    dict of str to list of str
        Paths of the batch norms, by the path of the dense or convolutional layer.
    """
    made: dict[Any, str] = {}
    read: list[tuple[str, Any]] = []

    def before(path: str) -> Any:
        return lambda part, inputs: read.append((path, inputs[0].grad_fn))

    def after(path: str) -> Any:
        return lambda part, inputs, output: made.__setitem__(output.grad_fn, path)

    hooks = []
    for path, part in module.named_modules():
        if isinstance(part, Norm):
            hooks.append(part.register_forward_pre_hook(before(path)))
        elif isinstance(part, nn.Linear | nn.Conv2d):
            hooks.append(part.register_forward_hook(after(path)))
    try:
        with torch.enable_grad():
            # A copy, because a module may change its input in place.
            module(example_images(input_shape, like=module).requires_grad_().clone())
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, list[str]] = {}
    for path, start in read:
        for producer in _producers_behind(start, made):
            found.setdefault(producer, []).append(path)
    return found


def _producers_behind(start: Any, made: dict[Any, str]) -> set[str]:
    producers, seen, waiting = set(), set(), [start]
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if step in made:
            producers.add(made[step])
        elif not any(word in step.name().lower() for word in ("relu", "threshold", "clamp", "maximum")):
            waiting.extend(before for before, _ in step.next_functions)
    return producers


def example_images(input_shape: Shape, count: int = 2, like: nn.Module | None = None, seed: int = 0) -> torch.Tensor:
    """Random images, (count, *input_shape), of the type of ``like``.

    Half of them are normal, half uniform in [0, 1].
    """
    random = np.random.default_rng(seed)
    normal = random.standard_normal((count - count // 2, *input_shape))
    uniform = random.uniform(size=(count // 2, *input_shape))
    images = torch.tensor(np.concatenate([normal, uniform]), dtype=torch.float32)
    parameter = None if like is None else next(iter(like.parameters()), None)
    return images if parameter is None else images.to(parameter)


def _find(module: nn.Module, path: str) -> nn.Module:
    try:
        part = module.get_submodule(path)
    except AttributeError:
        raise NotWiredError(f"there is no module {path}") from None
    # Subclasses may do something else with their weights.
    if type(part) not in Weighted:
        raise NotWiredError(
            f"module {path} is a {type(part).__name__}, not one of torch's own dense or convolutional layers"
        )
    return part


def _mask_rows(part: nn.Module, path: str, mask: Mask) -> None:
    if isinstance(part, Norm) and not part.affine:
        assert part.running_mean is not None
        part.affine = True
        part.weight = nn.Parameter(torch.ones_like(part.running_mean))
        part.bias = nn.Parameter(torch.zeros_like(part.running_mean))
        part.made_affine = True  # type: ignore[assignment]
    for name in ("weight", "bias"):
        values = getattr(part, name)
        if values is None:
            continue
        # A batch norm after a flattening has a row for every position of a unit.
        repeats = len(values) // len(mask) if isinstance(part, Norm) else 1
        if len(values) != len(mask) * repeats:
            raise NotWiredError(f"module {path} has {len(values)} outputs, not {len(mask)}")
        rows = torch.tensor(np.repeat(mask, repeats), device=values.device)
        full = rows.reshape(-1, *(1,) * (values.ndim - 1)).expand_as(values)
        with torch.no_grad():
            torch_prune.custom_from_mask(part, name, full)  # type: ignore[no-untyped-call]
