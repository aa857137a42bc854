-- The oldest entries as one text: ids and events in turn, a line each. A thousand answers of three
-- parts would cost the reader more than all that it does with them.
-- KEYS: outbox. ARGV: the smallest id, how many.
expect('stream', KEYS[1])
local lines = {}
for _, row in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  -- In JSON a line feed can only be white space.
  local text = string.gsub(row[2][2], '\n', ' ')
  table.insert(lines, row[1])
  table.insert(lines, text)
end
return table.concat(lines, '\n')
