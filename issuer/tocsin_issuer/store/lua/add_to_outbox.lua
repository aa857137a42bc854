-- Adds events. KEYS: outbox, and the set of revoked keys where they revoke one of ours. ARGV: their
--   text, the kid.
-- Returns the entry id.
expect('stream', KEYS[1])
if KEYS[2] then expect('set', KEYS[2]) end
local entry = emit(KEYS[1], ARGV[1])
if KEYS[2] then redis.call('SADD', KEYS[2], ARGV[2]) end
return entry
