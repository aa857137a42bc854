-- Takes outbox entries that are committed out, and moves the checkpoint, in one step.
-- KEYS: outbox, checkpoint. ARGV: term, n, hash, seq, entry ids as a JSON array.
expect('stream', KEYS[1])
expect('hash', KEYS[2])
local term, n, seq = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])

-- Deleting comes first: it is allowed to a server whose memory is full, and what follows it is too.
local ids, at_once = cjson.decode(ARGV[5]), 1000
for first = 1, #ids, at_once do
  redis.call('XDEL', KEYS[1], unpack(ids, first, math.min(first + at_once - 1, #ids)))
end

-- The identity (term, n) never goes back. The stream's sequence may: a recreated stream counts anew.
local at = redis.call('HMGET', KEYS[2], 'term', 'n')
local at_term, at_n = tonumber(at[1] or 0), tonumber(at[2] or 0)
local newer = term > at_term or (term == at_term and n >= at_n)
if newer then
  redis.call('HSET', KEYS[2], 'term', int(term), 'n', int(n), 'hash', ARGV[3], 'seq', int(seq))
end
return newer and 1 or 0
