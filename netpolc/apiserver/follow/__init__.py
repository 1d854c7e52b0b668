"""Resources followed for ever: lists, watches, and what to do when they fail."""
