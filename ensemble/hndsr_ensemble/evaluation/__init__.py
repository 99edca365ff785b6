"""Reference measurements and the pictures they are made on."""
