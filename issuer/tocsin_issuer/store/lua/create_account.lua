-- Creates a user or client, unless there is one of that name.
-- KEYS: the account, and its index by name where it has one. ARGV: what the index holds, fields …
expect('hash', KEYS[1])
if redis.call('EXISTS', unpack(KEYS)) ~= 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if KEYS[2] then redis.call('SET', KEYS[2], ARGV[1]) end
return 1
