"""Finds faces in photographs, and cuts them out and pastes them back by similarity transforms."""
