"""Networks by tap names, each with channels, stride and receptive radius."""
