-- Lets another key sign, where the one that is to be left still does. Returns the key that signs.
-- KEYS: active key, turns. ARGV: the key to leave ('' for none), its successor, when, why, how many
-- turns are kept.
expect('string', KEYS[1])
expect('stream', KEYS[2])
local standing = redis.call('GET', KEYS[1]) or ''
if standing ~= ARGV[1] then
  return standing
end
-- The journal comes first: a turn that nobody took is harmless, one that is not told of is not.
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'kid', ARGV[2], 'left', standing, 'at', ARGV[3], 'why', ARGV[4])
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
