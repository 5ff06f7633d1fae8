"""Files that processes of their own run, in the environment of the rivals."""
