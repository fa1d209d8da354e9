"""The composition root: command line, roles, embedded broker, simulator, API, metrics and benchmarks."""
