-- Which outbox entries are in the ledger: those of the journal's records up to the checkpoint, the
-- newest first, until one of them holds only entries that are older than those asked for.
-- KEYS: journal, checkpoint. ARGV: milliseconds in the oldest entry id, most records to look at.
-- Returns the entry ids, a JSON array for each record.
expect('stream', KEYS[1])
expect('hash', KEYS[2])
local n, found = redis.call('HGET', KEYS[2], 'n'), {}
if not n then return found end
local from = n .. '-0'
for _ = 1, tonumber(ARGV[2]) do
  local record = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', 1)[1]
  if not record then break end
  local youngest = string.match(string.sub(record[2][4], -48), '(%d+)%-%d+"%]$')
  if youngest then
    if tonumber(youngest) < tonumber(ARGV[1]) then break end
    table.insert(found, record[2][4])
  end
  from = '(' .. record[1]
end
return found
