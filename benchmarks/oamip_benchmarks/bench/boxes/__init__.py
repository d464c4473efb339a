"""The family of boxes: the largest logit of a network over a box of images."""
