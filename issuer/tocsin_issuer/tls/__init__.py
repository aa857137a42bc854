"""What a listener shows as its certificate, and whose certificates it believes. No server in it."""
