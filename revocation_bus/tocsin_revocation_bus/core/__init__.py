"""Pure machines. Time and bytes come in as arguments; nothing here does IO or reads a clock."""
