"""Videos: probe them, read frames with their times, restore them in segments, write them with all other streams."""
