"""The checks of `totes doctor`: of a stage from outside, with your rights, and from inside its functions."""
