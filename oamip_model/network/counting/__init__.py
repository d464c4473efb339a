"""Parameters and multiply-accumulates of networks, and of what is left of them."""
