"""Weights of networks: what there is, fetched, verified, kept."""
