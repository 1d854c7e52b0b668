"""Flow logs: formats, and what an audit says of them."""
