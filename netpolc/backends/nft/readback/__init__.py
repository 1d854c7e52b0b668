"""From what nft lists back to what it does to packets, and the proof that this is meant."""
