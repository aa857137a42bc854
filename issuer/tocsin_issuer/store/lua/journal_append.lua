-- Keeps a record's text under its number, once.
-- KEYS: journal, the bytes of its texts, checkpoint. ARGV: n, text, outbox ids, how many records to
--   keep, and how many bytes of texts; term and n of the last record that the caller knows as settled.
-- Returns {'ok'}; {'standing', text, outbox ids} where another record n was first; {'went_on'} where
-- n lies behind what is still kept; {'went_back'} where records before n are missing, or are not known
-- to be settled: then what they carried waits in the outbox, and the text may carry it once more.
expect('stream', KEYS[1])
expect('string', KEYS[2])
expect('hash', KEYS[3])
local n = tonumber(ARGV[1])
local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = found and tonumber(string.match(found[1], '^%d+')) or 0
if newest >= n then
  local standing = redis.call('XRANGE', KEYS[1], int(n) .. '-0', int(n) .. '-0')[1]
  if not standing then return {'went_on'} end
  return {'standing', standing[2][2], standing[2][4]}
end
local settled = redis.call('HMGET', KEYS[3], 'term', 'n')
local term, settled_n = tonumber(settled[1] or 0), tonumber(settled[2] or 0)
local known_term, known_n = tonumber(ARGV[6]), tonumber(ARGV[7])
local forgot = term < known_term or (term == known_term and settled_n < known_n)
if newest < n - 1 or forgot then return {'went_back'} end

redis.call('XADD', KEYS[1], int(n) .. '-0', 'text', ARGV[2], 'outbox', ARGV[3])
local count = redis.call('XLEN', KEYS[1])
local bytes = tonumber(redis.call('GET', KEYS[2]) or 0) + #ARGV[2]
while count > 1 and (count > tonumber(ARGV[4]) or bytes > tonumber(ARGV[5])) do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[1], oldest[1])
  count, bytes = count - 1, bytes - #oldest[2][2]
end
redis.call('SET', KEYS[2], int(bytes))
return {'ok'}
