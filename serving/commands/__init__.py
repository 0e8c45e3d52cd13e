"""The commands of those who tag and read: flags and what is printed; the client and the server do the work."""
