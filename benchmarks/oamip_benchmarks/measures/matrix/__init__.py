"""Every operator that is read, by every route and opset that has it."""
