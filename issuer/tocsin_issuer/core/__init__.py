"""Pure decisions of the issuer: what to append to the ledger, and which key signs."""
