"""Generators made elsewhere."""
