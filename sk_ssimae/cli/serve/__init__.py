"""Inspect images over HTTP: one model in memory, one image at a time."""
