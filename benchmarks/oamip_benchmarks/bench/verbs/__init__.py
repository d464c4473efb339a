"""The verbs of ``oamip bench`` but for its run."""
