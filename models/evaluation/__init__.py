"""Test, then learn: how good lists are, measured by replaying a log."""
