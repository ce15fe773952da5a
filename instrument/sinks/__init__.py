"""Sinks: where records go. Peers with one interface, thin over `store` and `views`."""
