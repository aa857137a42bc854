-- Rejects every token of a scope that was issued so far, and none that is issued from now on.
-- KEYS: outbox, last iat, cutoff, and the epoch of the scope's sessions where it has any.
-- ARGV: the event up to its number, seconds that a cutoff may be ahead, seconds that its rule
--   outlives it, the new epoch, its life in seconds (0: for ever).
-- Returns {'ok', entry id, cutoff} or {'cutoff_ahead'}.
expect('stream', KEYS[1])
expect('string', KEYS[2], KEYS[3])
if KEYS[4] then expect('string', KEYS[4]) end

local entry, cutoff = cut_off(KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
if not entry then return {'cutoff_ahead'} end
if KEYS[4] then
  if ARGV[5] == '0' then
    redis.call('SET', KEYS[4], ARGV[4])
  else
    redis.call('SET', KEYS[4], ARGV[4], 'EX', ARGV[5])
  end
end
return {'ok', entry, cutoff}
