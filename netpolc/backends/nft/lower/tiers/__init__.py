"""Ordered tiers: the chains that ask the policies of one, first match first."""
