"""What the issuer offers to other services over NATS, as a FastStream application."""
