"""Many settings at once: fronts of harm and accuracy, harm at equal accuracy, the worst case."""
