"""The model that is trained: the stack, its layers, the exact kernel, the draw of a scheme."""
