"""Evaluation on people's own logs: reading them, running, and reporting."""
