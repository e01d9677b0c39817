"""What several families compute alike: diagonals, residues, DPLR eigenvalues, gates."""
