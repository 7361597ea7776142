"""Third-party clients, and nothing else: LiteLLM, Redis, tokenizers, numpy. Imported only where one is made."""
