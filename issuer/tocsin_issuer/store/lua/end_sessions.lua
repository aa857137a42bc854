-- Ends sessions of one subject: a given one, or all but a given one.
-- KEYS: outbox, mark of this call, index, epoch of all, epoch of the subject.
-- ARGV: the event up to the first session, seconds that its rules live, exp leeway, prefix of the
--   projection, prefix of sessions, prefix of their tokens, the subject, 'one' or 'others', the sid,
--   how many at most, seconds that the mark stays, prefix of a client's epoch.
-- Returns {entry id, how many}; the entry id is '' where there was none to end.
expect('stream', KEYS[1])
expect('string', KEYS[2], KEYS[4], KEYS[5])
expect('zset', KEYS[3])

-- The same call again, after its connection broke: what it ended is gone, and its event stands.
local mark = redis.call('GET', KEYS[2])
if mark then
  local entry, number = mark:match('^(%S+) (%d+)$')
  return {entry, tonumber(number)}
end

local of_all, of_subject = redis.call('GET', KEYS[4]), redis.call('GET', KEYS[5])
local session_prefix, tokens_prefix, sub, sid = ARGV[5], ARGV[6], ARGV[7], ARGV[9]
local candidates = {session_prefix .. sid}
if ARGV[8] == 'others' then candidates = redis.call('ZRANGE', KEYS[3], 0, -1) end

local ends, names, texts = int(now() + tonumber(ARGV[2])), {}, {}
for _, session in ipairs(candidates) do
  local name = session:sub(#session_prefix + 1)
  if #names < tonumber(ARGV[10]) and (ARGV[8] == 'one' or name ~= sid) then
    local tokens = tokens_prefix .. name
    expect('hash', session)
    expect('zset', tokens)
    local fields = redis.call('HMGET', session, 'sub', 'client_id',
      'epoch_of_all', 'epoch_of_subject', 'epoch_of_client')
    local of_client = redis.call('GET', ARGV[12] .. (fields[2] or ''))
    if fields[1] == sub and not outdated({of_all, of_subject, of_client}, {unpack(fields, 3)}) then
      table.insert(names, name)
      table.insert(texts, '{"sid":"' .. name .. '","until":' .. ends .. '}')
    end
  end
end
if #names == 0 then return {'', 0} end

local entry = emit(KEYS[1], ARGV[1] .. table.concat(texts, ',') .. ']}}]')
for _, name in ipairs(names) do
  end_session(session_prefix .. name, tokens_prefix .. name, ARGV[4], tonumber(ARGV[3]))
end
redis.call('SET', KEYS[2], entry .. ' ' .. #names, 'EX', ARGV[11])
return {entry, #names}
