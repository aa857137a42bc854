-- Revokes sessions, whether they still exist or not: logout, or an operator.
-- KEYS: outbox, then for each session: session, its tokens.
-- ARGV: the event up to the first session, seconds that its rules live, exp leeway, prefix of the
--   projection, then each session in the event up to its number …
-- Returns the entry id.
expect('stream', KEYS[1])
for key = 2, #KEYS, 2 do
  expect('hash', KEYS[key])
  expect('zset', KEYS[key + 1])
end
local ends = int(now() + tonumber(ARGV[2]))
local sessions = {}
for arg = 5, #ARGV do
  table.insert(sessions, ARGV[arg] .. ends .. '}')
end
local entry = emit(KEYS[1], ARGV[1] .. table.concat(sessions, ',') .. ']}}]')
for key = 2, #KEYS, 2 do
  end_session(KEYS[key], KEYS[key + 1], ARGV[4], tonumber(ARGV[3]))
end
return entry
