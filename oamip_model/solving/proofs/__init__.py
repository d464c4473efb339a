"""Proofs about programs: scaling, safe bounds, tests of claims, second opinions."""
