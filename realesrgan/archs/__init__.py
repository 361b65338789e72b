"""The networks. Each module holds one, named and keyed as in its published checkpoints."""
