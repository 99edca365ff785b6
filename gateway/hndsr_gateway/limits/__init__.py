"""What callers may still have: rates, target pixels, calls at once."""
