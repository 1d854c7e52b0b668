"""Benchmarks: seeded clusters, and ratios of netpolc's steps to an anchor in the same run."""
