"""Runs over a log whose result is a table, a picture or a file."""
