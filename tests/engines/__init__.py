"""Servers that run as themselves for the tests that need them: each is started on loopback and stopped again."""
