"""Readers of trained networks: ONNX files, torch modules and exported programs."""
