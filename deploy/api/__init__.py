"""The HTTP side: lists, events and health for programs, and one live page for people."""
