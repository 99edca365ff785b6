"""Georeferenced rasters: sources, what is true of their targets, and the files these become."""
