"""The command line: words in, words out. The only place that prints, draws progress bars, or chooses exit codes."""
