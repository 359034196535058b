"""What can be said of a model without running it: its size, roles, template and adapter."""
