"""`python -m netpolc` is `netpolc`."""

from netpolc.cli import run

run()
