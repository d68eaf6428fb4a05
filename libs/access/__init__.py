"""Who somebody is, what they may do and where: principals, tokens, rights, and whether a change is within them."""
