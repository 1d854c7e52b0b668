"""Answers about policies, with no kernel: findings, explanations, connectivity, expectations."""
