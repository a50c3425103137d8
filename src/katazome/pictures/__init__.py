"""Pictures in and out: files, tensors, colour, size."""
