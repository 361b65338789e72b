"""Weight files: find them, fetch them, check them, read them. Nothing in here ever executes what a file says."""
