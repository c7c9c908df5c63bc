"""Values of settings: as a grid with its curve, or searched for on a slice of train."""
