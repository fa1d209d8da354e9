"""The command line: one console script, one module per verb."""
