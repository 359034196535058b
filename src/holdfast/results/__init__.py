"""What a run leaves behind: the schema, its records, where they came from, its words."""
