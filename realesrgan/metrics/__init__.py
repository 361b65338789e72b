"""How good a restoration is, measured against the original."""
