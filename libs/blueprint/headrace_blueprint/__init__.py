"""The blueprint language: its model and JSON Schema, references, expressions, validation and plan. Pure, no I/O."""
