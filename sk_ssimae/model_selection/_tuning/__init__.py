"""The choice of method and settings from good images, within a time budget."""
