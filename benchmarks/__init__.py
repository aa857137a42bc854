"""Each measures Tocsin, its peers and the physical limit in one run, and prints ratios."""
