"""How many units each layer keeps, so that the network is within a budget."""
