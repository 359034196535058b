"""What was written is known to be what is read: documents, folders and checkpoints with hashes."""
