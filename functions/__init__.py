"""The handlers, one module for each function."""
