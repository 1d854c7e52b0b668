"""Commands that answer questions about policies, from manifests alone."""
