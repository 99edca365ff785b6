"""The gate between a training run and what is served: `hndsr-train release` and `hndsr-train verify`.

A run becomes a candidate repository, the candidate is judged on declared sets of images, and only one that is worse
nowhere is installed. Afterwards anybody can check what lies there, offline.
"""
