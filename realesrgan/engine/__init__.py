"""A network on a device: planning, strips or tiles, assembly. Knows nothing of files or of the zoo."""
