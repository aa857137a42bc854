-- Keeps a record's text under its number, once.
-- KEYS: journal. ARGV: n, text, outbox ids, how many records to keep.
-- Returns {'ok'}; {'standing', text, outbox ids} where another record n was first; {'went_on'} where
-- n lies behind what is still kept; {'went_back', newest n} where records before n are missing.
expect('stream', KEYS[1])
local n = tonumber(ARGV[1])
local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = found and tonumber(string.match(found[1], '^%d+')) or 0
if newest >= n then
  local standing = redis.call('XRANGE', KEYS[1], int(n) .. '-0', int(n) .. '-0')[1]
  if not standing then return {'went_on'} end
  return {'standing', standing[2][2], standing[2][4]}
end
if newest < n - 1 then return {'went_back', int(newest)} end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], int(n) .. '-0', 'text', ARGV[2], 'outbox', ARGV[3])
return {'ok'}
