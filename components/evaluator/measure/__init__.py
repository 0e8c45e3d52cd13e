"""What is measured of each picture, and with what."""
