"""Photographs as people have them: tagged face by face, and searched for the tag however they were turned and cut."""
