"""How strong, how successful and how realistic a simulator is."""
