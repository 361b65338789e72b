"""Training: recipes, samples, losses, steps and the loop; how it goes, measured and shown."""
