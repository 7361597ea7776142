"""The domain-free kit that every service starts with. It knows no run, model or document."""
