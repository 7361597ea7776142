"""The HTTP routes: decode, ask one part, encode."""
