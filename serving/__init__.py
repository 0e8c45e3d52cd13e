"""Client, commands and embedded server of a pushed tagger; library.py is what the package offers to Python."""
