"""What lies on disk: schema, writing and reading in one place each."""
