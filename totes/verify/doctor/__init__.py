"""What a function sees from where it runs, with the rights that it has, for `totes doctor`."""
