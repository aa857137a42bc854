-- Adds events that come with no other change of state. KEYS: outbox. ARGV: their text.
-- Returns the entry id.
expect('stream', KEYS[1])
return emit(KEYS[1], ARGV[1])
