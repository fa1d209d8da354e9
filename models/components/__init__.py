"""What proposes and scores items: one file each."""
