"""The TFX pipeline, its presets and its runners."""
