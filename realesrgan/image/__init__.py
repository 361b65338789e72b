"""Pictures: find, read, write and name the files, and take a batch of them through a frame → frame function."""
