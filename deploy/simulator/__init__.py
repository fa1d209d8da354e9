"""A shop whose customers are real: they buy as they did, and click more on what they were about to buy."""
