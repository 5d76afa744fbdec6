"""What an energy is a sum of, as graphs and data."""
