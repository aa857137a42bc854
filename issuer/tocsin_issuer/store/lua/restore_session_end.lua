-- Ends a session that the ledger says has ended. KEYS: session, its tokens.
-- ARGV: prefix of the projection, exp leeway.
expect('hash', KEYS[1])
expect('zset', KEYS[2])
end_session(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))
