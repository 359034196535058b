"""Where a run may write, who writes there, and how what it wrote comes into place."""
