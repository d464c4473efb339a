"""A trained network as plain data, and the readers that make one."""

from oamip_model.network.reader import read_network
from oamip_model.network.types import Layer, Network, ScoreGroup, Term

__all__ = ["Layer", "Network", "ScoreGroup", "Term", "read_network"]
