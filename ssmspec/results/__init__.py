"""What use cases hand to writers: frozen values, one result a file."""
