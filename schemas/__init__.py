"""The vocabulary: every message, id, error and setting, and nothing that does anything."""
