"""What a command can be given, in parts that several commands share."""
