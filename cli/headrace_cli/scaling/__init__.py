"""What a scaling policy does to a load that was written down, in virtual time; the same for the same seed."""
