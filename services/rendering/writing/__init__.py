"""How decisions become files, trees, commits and the branch."""
