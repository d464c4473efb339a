"""Families of ONNX's operators: moves of numbers, products and windows."""
