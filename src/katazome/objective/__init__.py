"""The objective: value and gradient, whole or in tiles; memory and time foretold."""
