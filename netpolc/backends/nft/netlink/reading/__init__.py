"""What the kernel lists of a table -> the typed table."""
