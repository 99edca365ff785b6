"""From folders of imagery to weights, and from weights to a release: what `hndsr-train` runs.

Nothing that serves imports it.
"""
