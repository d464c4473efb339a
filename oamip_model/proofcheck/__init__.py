"""Proofs of a search over scores, checked in exact rational arithmetic.

Nothing here shares code with what makes the proofs: no formulation, no solver, no tree. Only the network is read in the
same way.
"""

from oamip_model.proofcheck.check import Checked, check_proof
from oamip_model.proofcheck.record import Proof, load_proof

__all__ = ["Checked", "Proof", "check_proof", "load_proof"]
