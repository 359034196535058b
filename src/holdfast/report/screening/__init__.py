"""What people read of a screening: lines for a terminal, a table, a page."""
