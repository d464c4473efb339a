"""Studies of pruning: ``oamip experiment NAME``.

A study is a list of cells, each a pure function of its recorded options. The engine runs those that
the run's folder does not have yet. It makes a table, a CSV file and a figure of all.
"""
