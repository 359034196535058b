"""Whether what was given fits together: adapters and bases, rows and models, models and files."""
