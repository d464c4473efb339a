"""The training of all weights behind the first layer, and the images that it sees."""
