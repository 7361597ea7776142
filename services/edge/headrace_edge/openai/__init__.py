"""OpenAI's protocol: its requests read, its answers, chunks and errors written. docs/openai.md is its prose."""
