"""Measures of results, tables of them, and the pictures they are made on."""
