"""What two steps must agree on. Imports nothing of the project."""
