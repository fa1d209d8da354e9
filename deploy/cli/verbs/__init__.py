"""Verbs: each module has a ``command``; its first line is what ``streamwise --help`` says of it."""
