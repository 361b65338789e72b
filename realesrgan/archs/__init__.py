"""The networks, one in each module, with the names and keys of their published checkpoints."""
