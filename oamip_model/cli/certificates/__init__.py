"""Verbs about boxes of inputs, and about proofs."""
