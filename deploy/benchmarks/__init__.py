"""The benchmarks that ``streamwise bench NAME`` runs, one module each, in one language (``base``)."""
