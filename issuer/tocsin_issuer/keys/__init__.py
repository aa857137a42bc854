"""Private keys: how they sign, how they are kept, and the ceremonies that make them."""
