"""The state of people: one ``UserShard`` per partition of ``events``, a fold of that partition alone."""
