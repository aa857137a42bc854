"""Services that show how Tocsin is used; the demo runs them."""
