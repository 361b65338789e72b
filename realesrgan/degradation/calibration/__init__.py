"""What a folder of pictures went through, measured, and the recipe that does the same to sharp ones."""
