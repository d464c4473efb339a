"""A loss in which the distance of hidden layers has a price."""

from __future__ import annotations

import torch
from torch import Tensor

from oamip_model.refit.answer import answer, lost
from oamip_model.refit.outgoing.shown import laid_out
from oamip_model.refit.walk import Walk


class Hidden:
    """The loss with a price on how far hidden layers are from the trained ones.

    images: those that say how much each layer of the trained network varies.
    """

    def __init__(self, walk: Walk, images: Tensor) -> None:
        self.trained = walk.trained
        self.stays = [torch.as_tensor(at, device=walk.trained.device) for at in walk.slim.stays]
        made = self._outputs(laid_out(images))
        scales = {
            k: float(output[:, self.stays[k]].var())
            for k, (layer, output) in enumerate(zip(walk.trained.network.layers[:-1], made, strict=False))
            if layer.activation != "none" and output.shape[1] == layer.pre_shape[0]
        }
        self.scales = {k: scale for k, scale in scales.items() if scale > 0}

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> list[Tensor]:
        return self.trained.run(images, {})

    def loss(self, images: Tensor, outputs: list[Tensor], price: float, weights: Tensor | None = None) -> Tensor:
        """The cross-entropy, and ``price`` times the hidden layers' mean distance.

        A distance is squared, and a share of the layer's variance.

        weights: (n,) of the images, where they count differently.
        """
        made = self._outputs(images)
        parts = [
            _mean((outputs[k] - made[k][:, self.stays[k]]).square(), weights) / scale
            for k, scale in self.scales.items()
        ]
        whole = lost(outputs[-1].flatten(1), answer(made[-1].flatten(1).double()).to(outputs[-1].dtype), weights)
        return whole + price * torch.stack(parts).mean() if parts else whole


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of values (n, ...), each image times its weight (n,) where there are any."""
    return values.mean() if weights is None else (values.flatten(1).mean(1) * weights).mean()
