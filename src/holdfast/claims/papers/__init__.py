"""One YAML file a paper: its claims and how each is tested; data only."""
