"""The encoder pool: texts in, unit vectors out, in batches that waste no padding.

Nothing here but ``minilm`` (and ``factory``, which imports it) loads torch.
"""
