"""Examples that run: each has a README with commands, and end-to-end tests run them."""
