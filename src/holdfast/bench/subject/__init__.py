"""What a bench is about: the organism, or a user's model with rows in files."""
