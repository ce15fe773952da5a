"""One small file for each client library, imported only when asked for."""
