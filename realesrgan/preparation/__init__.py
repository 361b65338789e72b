"""Pictures made ready for training: smaller copies, sub-images and lists of them."""
