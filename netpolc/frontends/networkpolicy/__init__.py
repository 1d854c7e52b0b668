"""NetworkPolicy, as it is meant today and as it was meant at first."""
