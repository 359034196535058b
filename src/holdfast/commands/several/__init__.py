"""One run of several processes: what they agree on, who writes, and how one that dies ends all."""
