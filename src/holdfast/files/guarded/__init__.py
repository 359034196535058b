"""Files and names of strangers, read with limits: what they may not be, name, hold or take."""
