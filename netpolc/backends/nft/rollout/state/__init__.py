"""What is loaded: tables as they are listed, what they say of themselves, how they drifted."""
