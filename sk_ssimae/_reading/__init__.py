"""Read images as they are stored, the right way up."""
