"""From a typed table to what nft reads, and to what changes one table into another."""
