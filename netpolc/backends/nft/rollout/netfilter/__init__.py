"""Talks to the kernel's netfilter by sockets: open flows, changes of tables and their count."""
