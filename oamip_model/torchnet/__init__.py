"""A network's forward pass in torch, which scores and refits are computed with."""
