"""What is known of each family of networks: its numbers, its key names, its layers row by row, its memory."""
