"""The forms in which simulators are kept: SavedModels, shipped weights, model cards, sheets of samples."""
