"""Studies of pruning: ``oamip experiment NAME``.

A study is a list of cells, each a pure function of its recorded options; the engine runs those that the run's folder
does not have yet, and makes a table, a CSV file and a figure of all.
"""
