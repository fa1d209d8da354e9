"""Did it cause more?  Experiments, sequential tests and off-policy evaluation, from the log alone."""
