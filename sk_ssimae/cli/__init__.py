"""Programs to run from the command line."""
