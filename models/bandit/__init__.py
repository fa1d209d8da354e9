"""What an item is worth, and how sure we are: posteriors and their draws."""
