"""What sessions remember: shapes, and writes under their preconditions."""
