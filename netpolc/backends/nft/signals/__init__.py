"""What a loaded table tells: counters and lines of the log."""
