"""What an operator, or another service, may have revoked: by name, counted first, or in bulk."""
