"""Faces: find them, restore them with GFPGAN, paste them back. Knows nothing of files or of the background."""
