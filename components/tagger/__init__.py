"""Encoder, decoder, channel decoder, losses, training and export of the tag networks."""
