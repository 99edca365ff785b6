"""Images of any size, tile by tile: what both kinds of client share of it, and how each of them waits."""
