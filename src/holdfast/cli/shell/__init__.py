"""What all commands share: the console, options made of fields, field docstrings as help."""
