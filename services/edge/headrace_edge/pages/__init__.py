"""Pages: their shapes, and how they look as HTML and Markdown."""
