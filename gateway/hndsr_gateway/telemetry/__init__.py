"""What the gateway tells of itself: metrics, spans, log lines. Nothing of it costs anything where nobody listens."""
