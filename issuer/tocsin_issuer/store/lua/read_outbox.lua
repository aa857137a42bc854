-- The oldest entries: their ids, the lengths of their texts and the texts, each with commas between.
-- Thousands of answers would cost the reader more than all that it does with them.
-- KEYS: outbox. ARGV: the smallest id, how many, and how many bytes of texts; one is always read.
expect('stream', KEYS[1])
local ids, lengths, texts = {}, {}, {}
local count, wanted, limit, size = 0, tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local from, page = ARGV[1], 8 -- an entry may be long: how many more is judged by these
local full = false
while wanted > 0 and not full do
  page = math.min(page, wanted)
  local rows = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', int(page))
  for _, row in ipairs(rows) do
    local text = row[2][2]
    size = size + #text
    full = size > limit and count > 0
    if full then break end
    count = count + 1
    ids[count], lengths[count], texts[count] = row[1], #text, text
  end
  if #rows < page then break end
  from, wanted = '(' .. rows[#rows][1], wanted - #rows
  page = 1 + math.floor(math.max(0, limit - size) / (size / count))
end
return {table.concat(ids, ','), table.concat(lengths, ','), table.concat(texts, ',')}
