"""Records of layers and of exchanges in a store.

They are checked against the network that they are of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.types import ScoreGroup
from oamip_model.records import Count, Matches, Number, Share, checked
from oamip_model.scoring.layerwise.exchange import Exchanged
from oamip_model.scoring.layerwise.plan import LayerOutcome


class _Swapped(TypedDict):
    """Masks after exchanges, by the number of the layer, and what they came to."""

    keep: dict[Annotated[str, Matches("[0-9]{1,6}", "the number of a layer")], list[bool | Share]]
    found: tuple[Count, Number, Number]


def layer_outcome(record: dict[str, Any], group: ScoreGroup) -> LayerOutcome:
    """The outcome of a layer.

    Raises InputError where the record is none, or that of a layer of another size.
    """
    found = LayerOutcome.from_record(record)
    for one in (found, *found.path):
        if len(one.scores) != group.size:
            raise InputError(f"it has {len(one.scores)} scores, the layer {group.name} has {group.size} units")
    return found


def exchanged(record: dict[str, Any], sizes: Mapping[int, int]) -> Exchanged:
    """The masks after exchanges.

    Raises InputError where the record is none, or one of layers of other sizes.
    """
    plain: _Swapped = checked(_Swapped, record, "it")
    keep = {int(group): np.asarray(mask) for group, mask in plain["keep"].items()}
    found = {group: len(mask) for group, mask in keep.items()}
    if found != sizes:
        raise InputError(f"its masks have the sizes {list(found.values())}, accepted are {list(sizes.values())}")
    return Exchanged(keep, *plain["found"])
