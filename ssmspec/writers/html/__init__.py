"""Pages: one part of a page a file; templates beside them."""
