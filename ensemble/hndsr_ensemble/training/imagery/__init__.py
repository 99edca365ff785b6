"""From folders of imagery to a manifest: what the images are, which overlap, and which split each belongs to."""
