-- The number of the newest record in the journal, 0 where it is empty, without the record.
-- KEYS: journal.
expect('stream', KEYS[1])
local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return found and tonumber(string.match(found[1], '^%d+')) or 0
