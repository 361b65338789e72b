"""A network on a device: planning, strips or tiles, assembly. Says nothing of files or models."""
