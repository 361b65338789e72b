"""Benchmarks of speed and of agreement with the published path; not installed with the package."""
