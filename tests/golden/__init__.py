"""What former releases wrote: dumps that this release must load."""
