"""What Tocsin puts on the wire.

The lowest floor of the tower: strict compact JWS, public keys, claims, events, subjects and errors.
Everything here is pure: bytes and times come in as arguments, nothing reads a clock, a socket or a
disk.
"""
