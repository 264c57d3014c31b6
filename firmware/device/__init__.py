"""What lies in the root of a node's flash."""
