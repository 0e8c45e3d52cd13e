"""Pushes a blessed tagger to a TF Serving base path."""
