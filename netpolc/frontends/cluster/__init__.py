"""Objects that make up a cluster: namespaces, nodes, pods, and workloads that make pods."""
