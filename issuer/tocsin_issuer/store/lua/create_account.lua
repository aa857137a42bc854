-- Creates a user or client, unless there is one of that name.
-- KEYS: the account, the list that it stands in where there is one, and for a user the index by name.
-- ARGV: its id, which list and index hold, then fields …
expect('hash', KEYS[1])
if KEYS[2] then expect('zset', KEYS[2]) end
if redis.call('EXISTS', KEYS[1], KEYS[3] or KEYS[1]) ~= 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if KEYS[2] then redis.call('ZADD', KEYS[2], 0, ARGV[1]) end
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[1]) end
return 1
