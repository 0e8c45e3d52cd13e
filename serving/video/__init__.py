"""Clips: faces followed through their frames, tagged without flicker, and read from all frames together."""
