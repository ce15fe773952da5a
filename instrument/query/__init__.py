"""Record files as DuckDB reads them: numbers over a million spans in seconds, and SQL for everybody."""
