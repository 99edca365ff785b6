"""Who calls: TLS, API keys, tokens."""
