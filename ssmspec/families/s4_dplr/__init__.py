"""S4 proper (diagonal plus low rank), v1 to v4 and annotated-S4: one storage a file, one family."""
