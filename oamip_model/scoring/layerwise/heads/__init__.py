"""What stands for the layers behind a scored one, and the programs with it."""
