"""Looks at a stage from outside, with an operator's rights, and asks its functions what they see: `totes doctor`."""
