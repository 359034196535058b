"""Report: the page, the terminal tables and the Markdown made from a result."""
