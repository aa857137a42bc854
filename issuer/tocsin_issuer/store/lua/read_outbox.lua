-- The oldest entries: ids and texts in turn. Thousands of answers of three parts would cost the
-- reader more than all that it does with them.
-- KEYS: outbox. ARGV: the smallest id, how many, and how many bytes of texts; one is always read.
expect('stream', KEYS[1])
local found, wanted, limit, size = {}, tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local from, page = ARGV[1], 8 -- an entry may be long: how many more is judged by these
while wanted > 0 do
  page = math.min(page, wanted)
  local rows = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', int(page))
  for _, row in ipairs(rows) do
    local text = row[2][2]
    size = size + #text
    if size > limit and found[1] then return found end
    found[#found + 1] = row[1]
    found[#found + 1] = text
  end
  if #rows < page then break end
  from, wanted = '(' .. rows[#rows][1], wanted - #rows
  page = 1 + math.floor(math.max(0, limit - size) / (size / (#found / 2)))
end
return found
