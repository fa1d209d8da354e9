"""The encoder pool: texts in, unit vectors out, in batches that waste no padding.

Nothing here but ``bert`` and ``minilm`` loads torch; ``factory`` does so when an encoder is made.
"""
