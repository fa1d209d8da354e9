"""From many opinions to one list: candidates, features, the learned head, rank fusion."""
