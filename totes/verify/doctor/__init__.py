"""Checks for `totes doctor` that a function does itself, with its own network and rights."""
