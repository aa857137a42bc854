-- Changes a user or client, or deletes a user, and rejects every token of theirs that was issued so
-- far: the event stands in the outbox before the account is touched.
-- KEYS: outbox, last iat, cutoff, account, epoch of their sessions; for a user the list of users.
-- ARGV: the event up to its number, seconds that a cutoff may be ahead, seconds that its rule
--   outlives it, the new epoch, its life in seconds; 'set' and fields …, or 'delete', the
--   prefix of the index by name, and the user.
-- Returns {'ok', entry id}, {'cutoff_ahead'} or {'account_unknown'}.
expect('stream', KEYS[1])
expect('string', KEYS[2], KEYS[3], KEYS[5])
expect('hash', KEYS[4])
if KEYS[6] then expect('zset', KEYS[6]) end

-- A deletion may be repeated: what is gone already is revoked once more.
if ARGV[6] == 'set' and redis.call('EXISTS', KEYS[4]) == 0 then return {'account_unknown'} end
local entry = cut_off(KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
if not entry then return {'cutoff_ahead'} end
redis.call('SET', KEYS[5], ARGV[4], 'EX', ARGV[5])
if ARGV[6] == 'set' then
  redis.call('HSET', KEYS[4], unpack(ARGV, 7))
else
  local name = redis.call('HGET', KEYS[4], 'username')
  redis.call('DEL', KEYS[4])
  redis.call('ZREM', KEYS[6], ARGV[8])
  if name then redis.call('DEL', ARGV[7] .. name) end
end
return {'ok', entry}
