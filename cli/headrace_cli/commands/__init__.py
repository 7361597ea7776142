"""One module per command: reads its options, calls what does the work, shows the answer."""
