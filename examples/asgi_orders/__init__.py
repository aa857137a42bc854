"""An example; docs/adapters.md tells about it."""
