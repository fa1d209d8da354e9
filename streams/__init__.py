"""Event processes: intake, user state and lists, and learning, as a Faust app over record batches."""
