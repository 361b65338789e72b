"""A page and an HTTP interface over the same jobs as the commands. Holds words and files, no work."""
