"""``holdfast data``: what a file holds, and what a run would stumble over."""
