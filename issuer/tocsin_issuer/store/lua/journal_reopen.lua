-- Puts a record that opens a term in the place of record n and of all after it.
-- KEYS: journal, the bytes of its texts, outbox, a place for a draft of the journal. ARGV: n, text,
--   number of the newest record and text of the first one from n on ('' where there is none) as the
--   caller knows them; then, for what is to be committed again, an outbox entry that held it (''
--   where none did) and its text, in turn.
-- Returns 1; 0 where the journal is not what the caller knows, and then nothing is written.
expect('stream', KEYS[1], KEYS[3])
expect('string', KEYS[2])
local n = tonumber(ARGV[1])
local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local newest = found and tonumber(string.match(found[1], '^%d+')) or 0
local standing = redis.call('XRANGE', KEYS[1], int(n) .. '-0', '+', 'COUNT', 1)[1]
if newest ~= tonumber(ARGV[3]) or (standing and standing[2][2] or '') ~= ARGV[4] then return 0 end

-- A stream takes no number twice, not even one that has been deleted: so it is written anew, and
-- put in its place when nothing can fail any more.
redis.call('DEL', KEYS[4])
local from, bytes = '-', #ARGV[2]
while from do
  local records = redis.call('XRANGE', KEYS[1], from, int(n - 1) .. '-0', 'COUNT', 100)
  for _, record in ipairs(records) do
    redis.call('XADD', KEYS[4], record[1], unpack(record[2]))
    bytes = bytes + #record[2][2]
  end
  from = records[1] and '(' .. records[#records][1]
end
redis.call('XADD', KEYS[4], int(n) .. '-0', 'text', ARGV[2], 'outbox', '[]')

for i = 5, #ARGV, 2 do
  local waits = ARGV[i] ~= '' and redis.call('XRANGE', KEYS[3], ARGV[i], ARGV[i])[1]
  if not waits then emit(KEYS[3], ARGV[i + 1]) end
end
redis.call('RENAME', KEYS[4], KEYS[1])
redis.call('SET', KEYS[2], int(bytes))
return 1
