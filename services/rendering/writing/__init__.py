"""How decisions become files, trees, commits and a branch."""
