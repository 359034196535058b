"""Whether what a result file says can be: numbers in their ranges, figures of their answers."""
