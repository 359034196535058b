"""All that a user gives, read and checked before anything runs."""
