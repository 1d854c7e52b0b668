"""What the agent tells of itself: numbers, lines of a log, whether it is alive and ready."""
