"""JSON Schemas that meet values: one judge for inputs, tools' arguments and models' answers. Pure, no I/O."""
