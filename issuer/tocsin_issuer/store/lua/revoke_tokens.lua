-- Revokes tokens. KEYS: outbox, then the projection of each token.
-- ARGV: the event, the longest time from now that a rule may stand, then the time until which each
--   rule and its projection stand …
-- Returns {'ok', entry id} or {'exp_too_late'}.
expect('stream', KEYS[1])
local latest = now() + tonumber(ARGV[2])
for arg = 3, #ARGV do
  if tonumber(ARGV[arg]) > latest then return {'exp_too_late'} end
end
local entry = emit(KEYS[1], ARGV[1])
for key = 2, #KEYS do
  redis.call('SET', KEYS[key], '1', 'EXAT', ARGV[key + 1])
end
return {'ok', entry}
