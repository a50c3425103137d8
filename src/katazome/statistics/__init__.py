"""Statistics of features: sums over positions, gathered anywhere, combined exactly."""
