"""Who may make which call, before anything of it is read."""
