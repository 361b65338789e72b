"""The same jobs on the nodes of a Ray cluster. Front ends reach it through `machines`."""
