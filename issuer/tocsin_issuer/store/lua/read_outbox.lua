-- The oldest entries: ids and texts in turn. Thousands of answers of three parts would cost the
-- reader more than all that it does with them.
-- KEYS: outbox. ARGV: the smallest id, how many, and after how many bytes no more are read.
expect('stream', KEYS[1])
local found, wanted, left = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
local from, page = ARGV[1], 256 -- an entry may be long: more are taken where these were short
while wanted > 0 and left > 0 do
  page = math.min(page, wanted)
  local rows, at = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', int(page)), #found
  for i, row in ipairs(rows) do
    local text = row[2][2]
    found[at + 2 * i - 1], found[at + 2 * i] = row[1], text
    left = left - #text
    if left <= 0 then break end
  end
  if #rows < page then break end
  from, wanted, page = '(' .. rows[#rows][1], wanted - #rows, 2 * page
end
return found
