"""What a ruleset costs a forwarded packet in the kernel: `python -m benches.dataplane`."""
