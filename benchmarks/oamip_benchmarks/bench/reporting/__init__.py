"""The report of a run: its page, figures, statistics and tables."""
