"""Requests from arguments, results from responses and errors from statuses: without transport, for any client."""
