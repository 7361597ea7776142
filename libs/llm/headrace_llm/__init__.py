"""The only code of Headrace that calls a model: registry, gate, LiteLLM, usage and cost. Importing it imports no provider."""
