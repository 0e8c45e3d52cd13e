"""Building blocks of networks that simulators and the tagger share."""
