"""The auth service: the only one that signs tokens.

``core`` decides, ``store`` remembers (Valkey), ``sequencing`` appends to the ledger, ``bus`` and
``http`` listen, ``keys`` holds what signs, ``embedded`` brings servers for development, and
``service`` puts it all together.
"""
