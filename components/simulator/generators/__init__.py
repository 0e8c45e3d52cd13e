"""The trainable simulators, one file each, and the registry of them."""
