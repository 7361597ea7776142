"""The only code of Headrace that calls a model: registry, gate, LiteLLM, usage and cost. It imports no provider."""
