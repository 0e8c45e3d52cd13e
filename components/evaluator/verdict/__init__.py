"""From the rows of single pictures to the decision."""
