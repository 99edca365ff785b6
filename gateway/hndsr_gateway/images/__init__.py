"""Image files to pictures and back, in worker processes that may crash, hang or run out of memory."""
