"""Families of ONNX's operators: moves, products and windows."""
