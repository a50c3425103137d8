"""Methods: an option class, one registered function, visible wiring."""
