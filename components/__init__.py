"""The pipeline's steps; README.md beside this file is the map."""
