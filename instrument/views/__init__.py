"""Views: a trace and what was found in it, as text and files."""
