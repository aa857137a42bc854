-- What waits in the outbox: how many entries, for how many milliseconds the oldest one has, and how
-- many were put aside because no verifier would have accepted them.
-- KEYS: outbox, rejected.
expect('stream', KEYS[1], KEYS[2])
local oldest, waited = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1], 0
if oldest then waited = math.max(0, now_ms() - tonumber(string.match(oldest[1], '^%d+'))) end
return {redis.call('XLEN', KEYS[1]), waited, redis.call('XLEN', KEYS[2])}
