"""From utilities to a list that knows its own probability."""
