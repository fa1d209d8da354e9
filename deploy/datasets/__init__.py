"""Real data that ships with the program."""
