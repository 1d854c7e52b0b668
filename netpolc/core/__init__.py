"""The language: what the other rooms speak of. It imports nothing else of netpolc."""
