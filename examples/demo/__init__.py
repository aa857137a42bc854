"""The whole story of Tocsin on real servers: `make demo`."""
