"""What people read: pages, pictures and tables made from a result."""
