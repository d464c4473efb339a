"""Linear maps in torch: their forward passes and modules, one file for each map.

Those of another map are registered with :func:`register_map`, or offered by a package in the entry-point group
``oamip_model.maps``, under the map's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oamip_model.registry import Registry

if TYPE_CHECKING:
    from oamip_model.network.maps import LinearMap
    from oamip_model.torchnet.maps.base import TorchMap

_HERE = "oamip_model.torchnet.maps"
MAPS: Registry[TorchMap[Any]] = Registry(
    "map",
    "oamip_model.maps",
    {
        "dense": f"{_HERE}.dense:TorchDense",
        "conv2d": f"{_HERE}.conv2d:TorchConv2d",
        "channel-scale": f"{_HERE}.channel_scale:TorchChannelScale",
        "average-pool": f"{_HERE}.average_pool:TorchAveragePool",
        "zero-pad": f"{_HERE}.zero_pad:TorchZeroPad",
        "identity": f"{_HERE}.identity:TorchIdentity",
        "rearrange": f"{_HERE}.rearrange:TorchRearrange",
        "part": f"{_HERE}.part:TorchPart",
    },
    f"{_HERE}.base:TorchMap",
    __name__,
)


def torch_map(map: LinearMap) -> TorchMap[Any]:
    """The object that computes a map in torch.

    Parameters
    ----------
    map : LinearMap
        A map of a network.

    Returns
    -------
    TorchMap
        Its forward pass and its module.

    Raises
    ------
    InputError
        For a map whose name is not registered.

    Examples
    --------
    >>> from oamip_model.network.maps import Identity
    >>> torch_map(Identity()).name
    'identity'
    """
    return MAPS.named(map.name)


def register_map(thing: TorchMap[Any] | type[TorchMap[Any]]) -> TorchMap[Any]:
    """Make a map's forward pass known, in this process and in its workers.

    Raises InputError for an object of another kind, or a name that another one has.
    """
    return MAPS.register(thing)
