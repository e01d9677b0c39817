"""What several formats write alike: words, numbers, tables, terminals."""
