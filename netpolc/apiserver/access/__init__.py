"""Where a server is and who asks: kubeconfig, files of a pod, tokens, certificates, plugins."""
