"""torch files without torch: the zip archive, the inert pickle machine, tensors, rewriting."""
